"""What a ladder of steps from large to small says about a derivative: its value, or a kink."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan

from ravine.gradients._slope import SAFETY


@dataclass(frozen=True)
class Rungs:
    """One-sided differences at steps from large to small.

    Args:
        steps: Lengths.
        left: From below, one per step; NaN outside the domain.
        right: From above.
        noise: Rounding error of one value of the function.
    """

    steps: Sequence[float]
    left: Sequence[float]
    right: Sequence[float]
    noise: float


@dataclass(frozen=True)
class Settled:
    """What the differences settle on; NaN where they are not defined.

    Args:
        derivative: In the middle of both sides.
        error: Estimated error of it.
        left: From below.
        right: From above.
        kink: Whether these stay apart.
        bend: How large the one-sided differences are at long steps, beyond rounding.
    """

    derivative: float
    error: float
    left: float
    right: float
    kink: bool
    bend: float = 0.0


def settled(rungs: Rungs, near: float) -> Settled:
    """Return the derivative where neighbouring steps agree best.

    Args:
        rungs: The differences.
        near: One-sided derivatives that differ by less make no kink.
    """
    middle = [(r + b) / 2 for r, b in zip(rungs.right, rungs.left, strict=True)]
    doubts = [_doubt(rungs, middle, k) for k in range(1, len(middle))]
    if all(isnan(one) for one in doubts):
        return _one_sided(rungs)
    # NaN compares as false everywhere: a step that leaves the domain is never the best.
    best = 1 + min(range(len(doubts)), key=lambda k: (isnan(doubts[k]), doubts[k]))
    jump, before = (abs(rungs.right[k] - rungs.left[k]) for k in (best, best - 1))
    apart = jump > near + SAFETY * rungs.noise / rungs.steps[best]
    # Curvature makes a jump that shrinks with the step.
    stays = jump > (rungs.steps[best] / rungs.steps[best - 1]) ** 0.5 * before
    # A jump may leave the middle at rest, but neither side.
    sides = (middle, rungs.left, rungs.right)
    kink = (apart and stays) or any(_unsettled(rungs, one) for one in sides)
    left, right, error = rungs.left[best], rungs.right[best], doubts[best - 1]
    return Settled(middle[best], error, left, right, kink, _bend(rungs))


def _doubt(rungs: Rungs, middle: Sequence[float], k: int) -> float:
    """Return an error of the difference at a step: how far its neighbours are, and rounding."""
    change = abs(middle[k] - middle[k - 1])
    if k > 1:  # two neighbours may be equal by chance
        shrinks = rungs.steps[k] / rungs.steps[k - 1]
        before = shrinks * abs(middle[k - 1] - middle[k - 2])
        change = before if before > change else change
    return max(change, _missed(rungs, middle, k)) + rungs.noise / rungs.steps[k]


def _missed(rungs: Rungs, middle: Sequence[float], k: int) -> float:
    """Return by how much shorter steps differ beyond rounding.

    A step longer than a wavelength sees nothing of it, and does not know; a shorter one has
    rounding only, which is known.
    """
    shorter = range(k + 1, len(middle))
    beyond = (
        abs(middle[k] - middle[j]) - SAFETY * rungs.noise / rungs.steps[j]
        for j in shorter
        if isfinite(middle[j])
    )
    return max(beyond, default=0.0)


def _bend(rungs: Rungs) -> float:
    """Return the size of one-sided differences at the two longest steps, 0 where it is rounding."""
    return max(
        abs(side[k]) if abs(side[k]) > SAFETY * rungs.noise / rungs.steps[k] else 0.0
        for side in (rungs.left, rungs.right)
        for k in (0, 1)
    )


def _unsettled(rungs: Rungs, slopes: Sequence[float]) -> bool:
    """Return whether differences still change by far at the smallest steps, beyond rounding."""
    last = range(len(slopes) - 3, len(slopes))
    if all(abs(slopes[k]) < 0.5 * abs(slopes[k - 1]) for k in last):
        return False  # it settles on 0
    return all(
        abs(slopes[k] - slopes[k - 1])
        > 0.3 * max(abs(slopes[k]), abs(slopes[k - 1])) + 2 * rungs.noise / rungs.steps[k]
        for k in last
    )


def _one_sided(rungs: Rungs) -> Settled:
    """Return the derivative on the one side where the function is defined, by Aitken's limit."""
    above = all(map(isfinite, rungs.right[-4:-1]))
    a, b, c = (rungs.right if above else rungs.left)[-4:-1]
    bend = (c - b) - (b - a)
    limit = c - (c - b) ** 2 / bend if bend else c
    error = abs(limit - c) + rungs.noise / rungs.steps[-2]
    left, right = (nan, limit) if above else (limit, nan)
    return Settled(limit, error, left, right, kink=False)
