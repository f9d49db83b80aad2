"""Gradients in the model's own dtype against those in float64: too few digits, or another fault."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ravine.gradients._analytic import Analytic
from ravine.gradients._patterns import pattern
from ravine.gradients._place import Place
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._slope import SAFETY

_PRECISION = 1e-2  # relative error of a tensor's gradient that is worth a note
_FAULT = 0.1  # relative error that rounding alone seldom makes: differences are then taken
_UNIMPORTANT = 1e-4  # of the whole gradient: below, a tensor's relative error is rounding


def own_dtype_findings(
    box: Sandbox, own: Analytic, wide: Analytic, left_out: Mapping[int, Tensor], seed: int
) -> list[Finding]:
    """Return what is wrong or imprecise about gradients that are right in float64.

    Where they differ by far, differences of the loss in the model's dtype, though coarse, tell
    which of the two is the derivative of what the model computes there.

    Args:
        box: In the model's dtype, at the point.
        own: Gradients in that dtype.
        wide: Gradients in float64.
        left_out: Entries that are never moved.
        seed: Of directions.
    """
    given = [
        torch.zeros_like(one) if a is None and b is not None else a
        for a, b, one in zip(own.gradients, wide.gradients, box.subjects, strict=True)
    ]
    errors = _relative_errors(given, wide.gradients)
    worst = max(range(len(errors)), key=errors.__getitem__, default=None)
    if worst is None or errors[worst] < _PRECISION:
        return []
    place = Place(box, given, own.loss, left_out)
    generator = torch.Generator().manual_seed(seed)
    said = {
        which: _compared(place, which, wide.gradients[which], generator)
        for which, error in enumerate(errors)
        if error >= _FAULT
    }
    faults = [
        _fault(place, which, wide.gradients[which], errors[which])
        for which, answer in said.items()
        if answer == "wide"
    ]
    if faults:
        return faults
    return [_note(place, worst, wide.gradients[worst], errors, said.get(worst) == "own")]


def _relative_errors(own: list[Tensor | None], wide: list[Tensor | None]) -> list[float]:
    """Return the error of each tensor's gradient, relative to its size or what matters of all."""
    total = sum(float(one.norm()) ** 2 for one in wide if one is not None) ** 0.5
    return [
        0.0
        if a is None or b is None or not b.numel()
        else float((a.double() - b).norm()) / max(float(b.norm()), _UNIMPORTANT * total, 1e-300)
        for a, b in zip(own, wide, strict=True)
    ]


def _compared(
    place: Place, which: int, wide: Tensor | None, generator: torch.Generator
) -> str | None:
    """Return whose derivative differences in the own dtype give: "own", "wide" or neither."""
    own = place.gradients[which]
    assert own is not None and wide is not None
    # Along the signs of the disagreement, its terms do not cancel.
    moves = place.direction([which], generator)[which].abs() * (own - wide).sign().to(own.dtype)
    slope = place.ladder({which: moves})
    if slope.kink:
        return None
    if not slope.wrong:
        return "own" if slope.agrees else None
    true = float((moves.double() * wide).sum())
    near = slope.scales.tolerance * (slope.size + abs(true)) + SAFETY * slope.error
    return "wide" if abs(slope.numeric - true) <= near else None


def _fault(place: Place, which: int, wide: Tensor | None, error: float) -> Finding:
    own = place.gradients[which]
    assert own is not None and wide is not None
    name = _named(place)
    shape = pattern(own, torch.arange(own.numel()), wide.reshape(-1), {}, 1e-3 * float(wide.norm()))
    said = (
        f"only in {name}: there the gradient is off by {error:.1%}, while differences of the loss"
        f" in {name} agree with autograd in float64; {shape}"
    )
    index = _worst_entry(own, wide)
    numbers = float(own[index]), float(wide[index])
    return Finding(place.box.names[which], "backward", said, True, index, *numbers)


def _note(
    place: Place, worst: int, wide: Tensor | None, errors: list[float], follows: bool
) -> Finding:
    own = place.gradients[worst]
    assert own is not None and wide is not None
    name = _named(place)
    count = sum(error >= _PRECISION for error in errors)
    said = (
        f"too few digits: in {name} the gradient is off by {errors[worst]:.1%} ({count} tensors by"
        " 1 % or more); in float64 it passes"
    )
    if follows:
        said = (
            f"in {name} the gradient differs from that in float64 by {errors[worst]:.1%}, and so do"
            f" differences of the loss: the model computes something else in {name}"
        )
    index = _worst_entry(own, wide)
    numbers = float(own[index]), float(wide[index])
    return Finding(place.box.names[worst], "precision", said, False, index, *numbers)


def _worst_entry(own: Tensor, wide: Tensor) -> tuple[int, ...]:
    flat = (own.double() - wide).abs().argmax().cpu()
    return tuple(int(i) for i in torch.unravel_index(flat, own.shape))


def _named(place: Place) -> str:
    return str(place.box.dtype).removeprefix("torch.")
