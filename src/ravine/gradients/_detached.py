"""Experiments on parameters whose gradient is missing, whole or in part."""

import traceback
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ravine.gradients._place import Place
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._slope import SAFETY, TOLERANCE, Slope

_DATA = Tensor.data.__get__  # type: ignore[attr-defined]
_CUTS = {
    Tensor.detach: "detach()",
    torch.detach: "detach()",
    _DATA: ".data",
    Tensor.item: "item()",
}
_SWITCH = torch._C._set_grad_enabled
_DIRECTIONS = 3  # one alone may by chance leave the loss as it is, but for rounding


class _LetThrough(TorchFunctionMode):
    """Makes `detach()`, `.data`, `item()` and `no_grad` let gradients through, and notes where."""

    def __init__(self) -> None:
        super().__init__()
        self.cuts: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in _CUTS and args[0].requires_grad:
            self._note(_CUTS[func])
            return args[0]
        if func is _SWITCH and args and not args[0]:
            self._note("torch.no_grad()")
            return None
        return func(*args, **(kwargs or {}))

    def _note(self, what: str) -> None:
        place = f"{what}{_caller()}"
        if place not in self.cuts:
            self.cuts.append(place)


def gradients_let_through(box: Sandbox) -> tuple[list[Tensor | None], list[str]]:
    """Return the gradients with every cut of the graph undone, and where the cuts are.

    The forward pass is the same; only what autograd records differs. A cut written in a way that
    cannot be undone gives no gradients and no places.
    """
    box.hold()
    with _LetThrough() as mode:
        try:
            loss = box.forward()
            found = torch.autograd.grad(loss, box.subjects, allow_unused=True)
        except Exception:  # undoing a cut may break code that relies on it
            return [], []
    return [None if one is None else one.detach() for one in found], mode.cuts


def missing_gradient(place: Place, box: Sandbox, which: int, generator: torch.Generator) -> Finding:
    """Return the finding for a parameter without a gradient, decided by moving it."""
    name = box.names[which]
    slopes = [place.ladder(place.direction([which], generator)) for _ in range(_DIRECTIONS)]
    moving = [one for one in slopes if abs(one.numeric) > SAFETY * one.error]
    if not moving:
        return _no_effect(place, name, slopes)
    slope = moving[0]
    said = (
        f"detached: autograd gives no gradient, yet the loss changes by {slope.numeric:.3g} per"
        " unit along a random direction"
    )
    through, cuts = gradients_let_through(box)
    if through and through[which] is not None:
        said += f"; with {', '.join(cuts)} made to let gradients through, it has one"
    index, numeric = _largest_entry(place, which, through[which] if through else None)
    return Finding(name, "no-gradient", said, True, index, 0.0, numeric)


def _no_effect(place: Place, name: str, slopes: list[Slope]) -> Finding:
    """Return the note for a tensor that moves the loss by no more than rounding."""
    bound = SAFETY * max(one.error for one in slopes)
    effect = place.largest or abs(place.loss)
    still = all(one.numeric == 0 for one in slopes) and bound <= 0.1 * effect
    if still or bound <= TOLERANCE[place.box.dtype] * effect:
        said = "unused: autograd gives no gradient, and moving it does not change the loss"
        return Finding(name, "no-gradient", said, error=False)
    said = (
        "undecided: autograd gives no gradient, and moving it changes the loss by no more than its"
        f" rounding, which would hide a slope of {bound:.2g}; leave out casts to a narrower dtype"
        " and large constants in the loss"
    )
    return Finding(name, "precision", said, error=False)


def frozen(name: str) -> Finding:
    """Return the note for a parameter that asks for no gradient."""
    said = "frozen: requires_grad is False, so it is not checked"
    return Finding(name, "no-gradient", said, error=False)


def _largest_entry(
    place: Place, which: int, gradient: Tensor | None
) -> tuple[tuple[int, ...], float]:
    """Return an entry the loss depends on, and its numeric derivative."""
    entry = 0 if gradient is None else int(gradient.abs().argmax())
    slope = place.pair(which, entry)
    shape = place.base[which].shape
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(entry), shape)), slope.numeric


def _caller() -> str:
    """Return `` at file:line`` of the innermost frame outside torch and this package."""
    own = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(own):
            return f" at {Path(frame.filename).name}:{frame.lineno}"
    return ""
