"""Which tensors have a right gradient, which a wrong one, and for which rounding hides it."""

from dataclasses import dataclass, field
from math import isnan

import torch

from ravine.gradients._place import Place
from ravine.gradients._report import Finding
from ravine.gradients._slope import SAFETY, Scales, Slope

DIRECTIONS = 2


@dataclass
class Judged:
    """What directions say about the tensors of a place.

    Args:
        wrong: Slopes that disagree, by number of the tensor.
        undecided: Slopes that rounding hides.
        coarse: Blur of slopes that agree, where it is worth a notice.
        largest: The largest relative disagreement of slopes that agree.
    """

    wrong: dict[int, Slope] = field(default_factory=dict)
    undecided: dict[int, Slope] = field(default_factory=dict)
    coarse: dict[int, float] = field(default_factory=dict)
    largest: float = 0.0

    @property
    def kinked(self) -> list[int]:
        """Numbers of the tensors whose slope is not right and shows a kink."""
        slopes = self.wrong | self.undecided
        return [which for which, slope in slopes.items() if slope.kink]


def judge(place: Place, generator: torch.Generator) -> Judged:
    """Judge all tensors: together first, and those that this does not decide alone."""
    if not place.known:
        return Judged()
    made = Judged()
    together = [place.look(place.direction(place.known, generator)) for _ in range(DIRECTIONS)]
    made.largest = max((one.relative for one in together if one.agrees or one.wrong), default=0.0)
    alone = place.known
    # In float32 a small error may cancel in them; where no gradient is, they say little of each.
    enough = place.largest > 0 and place.box.dtype == torch.float64
    if enough and all(one.agrees and one.sharp for one in together):
        alone = _hidden(place, max(one.allowed for one in together))
    for which in alone:
        _judge_alone(made, place, which, generator)
    return made


def undecided(place: Place, which: int, slope: Slope) -> Finding:
    """Return the note for a tensor whose slope rounding hides."""
    if slope.size == slope.numeric == slope.bend == 0:
        said = (
            "undecided: autograd gives 0 here and no step tried changes the loss, so that nothing"
            " shows whether a gradient is right; check at a point where the loss changes"
        )
    elif not isnan(slope.error):
        said = (
            f"undecided: the loss carries rounding noise of {place.noise(which):.2g}; along a"
            f" direction autograd gives {slope.analytic:.3g}, differences give {slope.numeric:.3g}"
            f" to within {SAFETY * slope.error:.2g} at best; leave out casts to a narrower dtype"
            " and large constants in the loss, or check this part of the model alone"
        )
    else:
        said = (
            "undecided: at every step tried the loss is NaN, infinite or raises on both sides of"
            " the point, so that differences do not exist; check at another point"
        )
    return Finding(place.box.names[which], "precision", said, error=False)


def coarseness(place: Place, coarse: dict[int, float]) -> str | None:
    """Return the notice about tensors that were compared with few digits only."""
    if not coarse:
        return None
    worst = max(coarse, key=lambda which: coarse[which])
    others = f" and {len(coarse) - 1} more tensors" if len(coarse) > 1 else ""
    return (
        f"rounding inside the model or loss: {place.box.names[worst]}{others} could be compared to"
        f" within {100 * coarse[worst]:.2g} % only; smaller errors cannot be seen"
    )


def _judge_alone(made: Judged, place: Place, which: int, generator: torch.Generator) -> None:
    slope = _decisive(place, which, generator)
    if slope.wrong:
        made.wrong[which] = slope
    elif not slope.agrees:
        made.undecided[which] = slope
    else:
        made.largest = max(made.largest, slope.relative)
        if not slope.sharp:
            made.coarse[which] = slope.blur


def _decisive(place: Place, which: int, generator: torch.Generator) -> Slope:
    """Return the slope of a tensor that says most: a wrong one, else the least blurred."""
    first = place.look(place.direction([which], generator))
    if first.sharp and place.box.dtype == torch.float64:
        return first
    # With the gradient's signs a slope is the largest there is; another random one sees the rest.
    signed = [place.along_gradient(which, generator)] if place.contribution(which) else []
    others = [*signed, place.direction([which], generator)]
    slopes = [first, *map(place.look, others)]
    wrong = [one for one in slopes if one.wrong]
    differing = [one for one in slopes if one.differs]
    chosen = wrong or differing or slopes
    # At a kink it takes another point to tell.
    return min(chosen, key=lambda one: (one.differs and not one.kink, isnan(one.blur), one.blur))


def _hidden(place: Place, allowed: float) -> list[int]:
    """Return the tensors that contribute too little to show in slopes along all of them."""
    floor = Scales.of(place.box.dtype, place.largest).floor
    moved = place.scales_along(place.known)
    return [
        which
        for which in place.known
        if which in place.faint
        or (
            (own := place.contribution(which)) > floor
            and own * moved[which] / place.scales[which] < 10 * allowed
        )
    ]
