"""Checks of a model, a loss and a metric: each is run on a tiny batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ravine.core.errors import ModelError
from ravine.problems._data import Data


def tiny_batch(data: Data) -> tuple[Tensor, Tensor]:
    """Return float32 inputs and targets of the first rows, up to four of them."""
    x, y = data.x[:4].float(), data.y[:4]
    return x, y.float() if y.is_floating_point() else y


def run_model(name: str, model: nn.Module, data: Data) -> Tensor:
    """Return the outputs of a model on a tiny batch, in training mode, its buffers unchanged.

    Raises:
        ModelError: the model raises, or its outputs have the wrong shape in either mode.
    """
    x, y = tiny_batch(data)
    with torch.no_grad():
        # Evaluation first: it gives lazy layers their shape and leaves running statistics alone.
        _check_outputs(name, _called(f"model {name!r}", model.eval(), x), y, data)
        kept = {key: buffer.clone() for key, buffer in model.named_buffers()}
        outputs = _called(f"model {name!r}", model.train(), x)
        for key, buffer in model.named_buffers():
            buffer.copy_(kept[key])
    _check_outputs(name, outputs, y, data)
    return outputs


def _called(what: str, function: Callable[..., Any], *arguments: Tensor) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        shapes = " and ".join(str(tuple(tensor.shape)) for tensor in arguments)
        raise ModelError(
            f"{what}: called with a batch of shape {shapes} it raised"
            f" {type(error).__name__}: {error}"
        ) from error


def _check_outputs(name: str, outputs: object, y: Tensor, data: Data) -> None:
    if not isinstance(outputs, Tensor):
        raise ModelError(f"model {name!r}: must return one tensor, got a {type(outputs).__name__}")
    given = tuple(outputs.shape)
    if data.classes is not None and given != (len(y), data.classes):
        raise ModelError(
            f"model {name!r}: outputs must be [B, classes] = {(len(y), data.classes)} for"
            f" {len(y)} inputs of {data.name}, got {given}"
        )
    # Their width is the loss's affair, but [B] against [B, 1] would broadcast to [B, B].
    if given[:1] != (len(y),) or len(given) != y.ndim + (data.classes is not None):
        raise ModelError(
            f"model {name!r}: outputs must have a row per input and as many dimensions as the"
            f" targets {tuple(y.shape)}, got {given}"
        )


def check_scalar(
    kind: str, name: str, function: Callable[..., Any], outputs: Tensor, targets: Tensor
) -> None:
    """Call a loss or metric on a tiny batch and check that it returns one float.

    A loss must also be differentiable with respect to the outputs.

    Raises:
        ModelError: it raises, or returns something else.
    """
    outputs = outputs.detach().requires_grad_()
    value = _called(f"{kind} {name!r}", function, outputs, targets)
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        given = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ModelError(
            f"{kind} {name!r}: must return a float tensor without dimensions, the mean over the"
            f" batch, got {given}"
        )
    if kind == "loss" and not value.requires_grad:
        raise ModelError(
            f"loss {name!r}: must be differentiable, but its value does not depend on the outputs"
            " through differentiable operations"
        )
