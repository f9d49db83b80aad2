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
    """What the differences settle on; NaN where they are not defined."""

    derivative: float
    error: float
    left: float
    right: float
    kink: bool


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
    kink = (apart and stays) or _unsettled(rungs, middle)
    return Settled(middle[best], doubts[best - 1], rungs.left[best], rungs.right[best], kink)


def _doubt(rungs: Rungs, middle: Sequence[float], k: int) -> float:
    """Return an error of the difference at a step: how far its neighbours are, and rounding."""
    change = abs(middle[k] - middle[k - 1])
    if k > 1:  # two neighbours may be equal by chance
        shrinks = rungs.steps[k] / rungs.steps[k - 1]
        before = shrinks * abs(middle[k - 1] - middle[k - 2])
        change = before if before > change else change
    return change + rungs.noise / rungs.steps[k]


def _unsettled(rungs: Rungs, middle: Sequence[float]) -> bool:
    """Return whether differences still change by far at the smallest steps, beyond rounding."""
    return all(
        abs(middle[k] - middle[k - 1])
        > 0.3 * max(abs(middle[k]), abs(middle[k - 1])) + 2 * SAFETY * rungs.noise / rungs.steps[k]
        for k in range(len(middle) - 3, len(middle))
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
