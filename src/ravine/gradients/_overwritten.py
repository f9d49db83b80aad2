"""Tensors saved for the backward pass that change before it, unseen by autograd's own counter."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ravine.gradients._sandbox import Sandbox

_Saved = list[tuple[str, Tensor, Tensor]]


def overwritten(box: Sandbox, functions: Sequence[Any]) -> list[str]:
    """Return a sentence for each saved tensor that the forward pass overwrites in place.

    Autograd notices most of these by itself and raises; writing through ``.data`` or inside a
    function's own forward it does not.

    Args:
        box: The sandbox.
        functions: Classes of one's own in its graph.
    """
    saved: _Saved = []
    with ExitStack() as stack:
        for function in functions:
            stack.enter_context(_noting(function, saved))
        keep = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: _kept(saved, tensor), lambda tensor: tensor
        )
        stack.enter_context(keep)
        loss = box.loss()  # kept: its graph holds the saved tensors
    # Statistics of a normalisation: saved, and moved on by the forward pass that does not use them.
    statistics = {buffer.data_ptr() for buffer, _ in box.moving}
    sentences = {
        f"a tensor of shape {tuple(tensor.shape)} saved for the backward pass{where} is"
        " overwritten in place before it is used"
        for where, tensor, before in saved
        if tensor.shape == before.shape
        and tensor.data_ptr() not in statistics
        and not torch.equal(tensor, before)
    }
    del loss
    # A function's own note says more than that of the graph about the same tensor.
    named = sorted(one for one in sentences if " by " in one)
    return named or sorted(sentences)


def _kept(saved: _Saved, tensor: Tensor) -> Tensor:
    saved.append((_caller(), tensor.detach(), tensor.detach().clone()))
    return tensor


@contextmanager
def _noting(function: Any, saved: _Saved) -> Iterator[None]:
    """Note what a function saves, at the moment it does, while a block runs."""
    own = vars(function).get("save_for_backward")
    original = function.save_for_backward
    title = f" by {function.__qualname__}"

    def save(context: Any, *tensors: Tensor | None) -> None:
        saved.extend((title, t.detach(), t.detach().clone()) for t in tensors if t is not None)
        original(context, *tensors)

    def keep(context: Any, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            saved.append((title, value.detach(), value.detach().clone()))
        object.__setattr__(context, name, value)

    function.save_for_backward = save
    backward_class = function._backward_cls
    backward_class.save_for_backward = save
    backward_class.__setattr__ = keep  # ``context.x = x``
    try:
        yield
    finally:
        del backward_class.__setattr__
        del backward_class.save_for_backward
        if own is None:
            del function.save_for_backward
        else:
            function.save_for_backward = own


def _caller() -> str:
    """Return `` at file:line`` of the innermost frame outside torch and this package."""
    own = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(own):
            return f" at {Path(frame.filename).name}:{frame.lineno}"
    return ""
