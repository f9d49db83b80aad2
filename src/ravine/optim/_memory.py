"""How tensors lie in memory: what a kernel may be given, and how to bring others into its form."""

from collections.abc import Collection

import torch
from torch import Tensor

from ravine.kernels import DTYPES


def kernel_can(
    parameter: Tensor, device: str = "cpu", dtypes: Collection[torch.dtype] = tuple(DTYPES)
) -> bool:
    """Whether a kernel for a kind of device and some dtypes may update a parameter by address."""
    return (
        parameter.device.type == device
        and parameter.dtype in dtypes
        and type(parameter) in (Tensor, torch.nn.Parameter)
        and torch.ops.aten.is_non_overlapping_and_dense(parameter)
    )


def alike(tensor: Tensor, parameter: Tensor) -> bool:
    """Whether a tensor lies in memory as its parameter does, element by element."""
    return (
        tensor.dtype == parameter.dtype
        and tensor.stride() == parameter.stride()
        and tensor.shape == parameter.shape
        and tensor.device == parameter.device
        and not tensor.is_neg()
    )


def laid_out(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Return a copy that lies in memory as the parameter does.

    Raises:
        RuntimeError: When the shapes differ.
    """
    if tensor.shape != parameter.shape:
        raise RuntimeError(
            f"gradient and state must have the shape {tuple(parameter.shape)} of their parameter,"
            f" got {tuple(tensor.shape)}; was the checkpoint made with another model?"
        )
    return torch.empty_like(parameter).copy_(tensor)


def gradient(parameter: Tensor) -> Tensor:
    """Return a parameter's gradient in the parameter's memory layout.

    Raises:
        RuntimeError: When it is sparse.
    """
    found = parameter.grad
    assert found is not None
    if found.layout != torch.strided:
        raise RuntimeError(
            "sparse gradients are not supported; use dense ones or torch's SparseAdam"
        )
    return found if alike(found, parameter) else laid_out(found, parameter)


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor to compute with: single precision for half, as torch's fused steps do.

    In half precision eps and the squares of small gradients would vanish.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
