"""Checks of what `check` is given: each message names the thing, the constraint and the way out."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ravine.core.errors import DataError, ModelError, SettingError, first_line
from ravine.gradients._nested import tensors_in
from ravine.gradients._sandbox import Sandbox

_NARROW = (torch.float16, torch.bfloat16)


def check_given(model: Any, loss: Any, batch: Any) -> None:
    """Check model, loss and batch before anything runs.

    Raises:
        ModelError: The model is no module, or its weights are in half precision, complex or hold
            no values; the loss cannot be called.
        DataError: The batch is no inputs and targets, holds no tensor, half precision or no rows.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not callable(loss):
        raise ModelError(
            f"loss must be callable as loss(outputs, targets), got {type(loss).__name__}"
        )
    check_weights(model)
    for name, parameter in model.named_parameters():
        if parameter.dtype in _NARROW:
            raise ModelError(
                f"model: parameter {name} is {parameter.dtype}; differences of half-precision"
                " losses hold no digits of a derivative; check model.float() instead"
            )
        if parameter.is_complex():
            raise ModelError(
                f"model: parameter {name} is {parameter.dtype}; only real ones can be checked;"
                " make it from a real parameter with torch.view_as_complex"
            )
    _check_batch(batch)


def check_weights(model: nn.Module) -> None:
    """Check that a model's parameters and buffers hold values.

    Raises:
        ModelError: One has no shape yet, or is on the meta device.
    """
    for name, one in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(one):
            raise ModelError(
                f"model: {name} has no shape yet, as its lazy module has not run; call the model"
                " once on its inputs"
            )
        if one.is_meta:
            raise ModelError(
                f"model: {name} is on the meta device, which holds no values; give the model"
                " some with model.to_empty(device='cpu') and its weights"
            )


def _check_batch(batch: Any) -> None:
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise DataError(
            "batch must be (inputs, targets), or several inputs and then the targets, got"
            f" {_kind(batch)}"
        )
    tensors = tensors_in(batch[:-1])
    if not tensors:
        raise DataError(f"batch: its inputs hold no tensor, got {_kind(batch[0])}; give tensors")
    for one in tensors:
        if one.dtype in _NARROW:
            raise DataError(f"batch: an input is {one.dtype}; give float32 or float64: x.float()")
        if one.ndim and one.shape[0] == 0:
            shape = tuple(one.shape)
            raise DataError(f"batch: must hold at least one sample, got an input of shape {shape}")


def check_runs(model: nn.Module, box: Sandbox, batch: Sequence[Any]) -> Tensor:
    """Return the loss of a first evaluation in the model's own dtype.

    Raises:
        ModelError: Nothing could have a gradient, model or loss raise, or the loss is not a
            tensor with one float.
    """
    if not box.subjects:
        raise ModelError(
            "nothing to check: no parameter of the model has requires_grad, and no input is float"
        )
    try:
        with torch.enable_grad():
            loss = box.loss()
    except Exception as error:
        dtypes = [one.dtype for one in tensors_in(batch[:-1])]
        integers = [one for one in dtypes if not (one.is_floating_point or one.is_complex)]
        hint = (
            f"; an input is {integers[0]}: give x.float() unless the model looks it up"
            if integers
            else ""
        )
        raise ModelError(
            f"{type(model).__name__} and its loss cannot be evaluated on the batch:"
            f" {first_line(error)}{hint}"
        ) from error
    if not isinstance(loss, Tensor):
        raise ModelError(f"loss must return a tensor with one element, got {type(loss).__name__}")
    if loss.numel() != 1:
        raise ModelError(
            f"loss must be a scalar, got shape {tuple(loss.shape)}; average it over the batch"
        )
    if not loss.is_floating_point():
        raise ModelError(f"loss must be a float tensor, got {loss.dtype}")
    return loss


def check_counts(full: bool, sample: int | None) -> None:
    """Check how many entries are asked for.

    Raises:
        SettingError: Both `full` and `sample` are given, or `sample` is no integer >= 1.
    """
    if sample is None:
        return
    if full:
        raise SettingError("full checks every entry; leave out sample, or full")
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise SettingError(f"sample must be an integer >= 1, got {sample!r}")


def _kind(thing: Callable[..., Any] | Any) -> str:
    if isinstance(thing, tuple | list):
        return f"a {type(thing).__name__} of {len(thing)}"
    return f"a {type(thing).__name__}"
