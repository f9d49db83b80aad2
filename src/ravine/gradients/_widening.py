"""Constants in float32 that meet float64 operands, as class weights that a loss closes over."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from ravine.gradients._held import kept_by, put_back
from ravine.gradients._sandbox import Sandbox, sandbox
from ravine.gradients._steady import Held, hold

_MARK = "_ravine_narrowed"


class _Widen(TorchFunctionMode):
    """Gives float64 copies of float32 constants to functions that also take float64 tensors.

    A constant is what does not come from a float64 tensor: a model that casts its own values to
    float32 stays as it is.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        wide = any(one.dtype == torch.float64 for one in tensors)
        if wide and len(tensors) > 1:
            first = 1 if _writes(func) else 0
            args = (*args[:first], *tree_map(_widened, args[first:]))
            kwargs = {name: tree_map(_widened, one) for name, one in kwargs.items()}
        made = func(*args, **kwargs)
        if wide or any(hasattr(one, _MARK) for one in tensors):
            for one in tree_leaves(made):
                if isinstance(one, Tensor) and one.dtype == torch.float32:
                    setattr(one, _MARK, True)
        return made


def wide_sandbox(
    model: nn.Module, loss: Any, batch: Sequence[Any], seed: int
) -> tuple[Sandbox, Held] | Exception:
    """Return a float64 sandbox, held, constants widened if need be; what is raised if it cannot."""
    raised: Exception | None = None
    for prepared in (_plain, _widening):
        box = prepared(sandbox(model, loss, batch, torch.float64, seed))
        before = kept_by(box.outside)
        try:
            return box, hold(box)
        except Exception as error:  # whatever a model raises in another dtype
            put_back(box.outside, before)
            raised = raised or error
    assert raised is not None
    return raised


def _plain(box: Sandbox) -> Sandbox:
    return box


def _widening(box: Sandbox) -> Sandbox:
    """Let every evaluation of a sandbox take float32 constants as float64 ones; return it."""
    forward = box.whole.forward

    def widened(*arguments: Any) -> Tensor:
        with _Widen():
            return forward(*arguments)

    box.whole.forward = widened  # type: ignore[method-assign, assignment]
    return box


def _widened(one: Any) -> Any:
    narrow = isinstance(one, Tensor) and one.dtype == torch.float32
    return one.double() if narrow and not hasattr(one, _MARK) else one


def _writes(func: Any) -> bool:
    """Return whether a function writes to its first argument."""
    name = getattr(func, "__name__", "")
    return name in ("__setitem__", "__set__") or (name.endswith("_") and not name.endswith("__"))
