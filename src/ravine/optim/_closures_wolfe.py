"""A line search for the strong Wolfe conditions (Nocedal & Wright, Algorithms 3.5 and 3.6).

The order of operations, the limits of interpolation and the ways out are those of torch's LBFGS
(which has them from minFunc), so that both take the same steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

# Nocedal & Wright, section 3.1: sufficient decrease, and curvature for quasi-Newton directions.
C1, C2 = 1e-4, 0.9
# minFunc: a bracket is extended by at least 1 % and at most ten times, and a trial within 10 % of
# a bracket's end is moved away from it if the trial before was as close.
LEAST_EXTENSION, MOST_EXTENSION, MARGIN = 0.01, 10, 0.1


@dataclass(frozen=True, eq=False)
class Point:
    """A point on the line.

    Args:
        t: Step length.
        loss: Loss there.
        grad: Flat gradient there.
        slope: Derivative along the line.
    """

    t: float
    loss: float
    grad: Tensor
    slope: float


@dataclass
class _Search:
    """What one search knows: where it began, how to look elsewhere, how often it still may."""

    look: Callable[[float], Point]
    start: Point
    left: int

    def at(self, t: float) -> Point:
        self.left -= 1
        return self.look(t)

    def too_high(self, point: Point) -> bool:
        return point.loss > self.start.loss + C1 * point.t * self.start.slope

    def flat(self, point: Point) -> bool:
        return abs(point.slope) <= -C2 * self.start.slope


def strong_wolfe(
    look: Callable[[float], Point],
    start: Point,
    first: float,
    most: int,
    narrow: Callable[[float], bool],
) -> Point:
    """Return a point of sufficient decrease and small slope, or the best one found.

    Args:
        look: From a step length to the point there.
        start: The point at 0, whose slope is negative.
        first: Step length to try first.
        most: Trials after the first.
        narrow: Whether a bracket of a width is too narrow to go on.

    Source: Nocedal & Wright 2006, Numerical Optimization, Algorithms 3.5 and 3.6; Schmidt,
    minFunc.
    """
    search = _Search(look, start, most)
    before, point = start, look(first)
    trials = 0
    while search.left > 0:
        # The text asks for a rise from the second trial on, torch from the third.
        risen = trials > 1 and point.loss >= before.loss
        if search.too_high(point) or risen:
            return _zoom(search, [before, point], narrow)
        if search.flat(point):
            return point
        if point.slope >= 0:
            return _zoom(search, [before, point], narrow)
        low = point.t + LEAST_EXTENSION * (point.t - before.t)
        t = _cubic_minimum(before, point, low, point.t * MOST_EXTENSION)
        before, point = point, search.at(t)
        trials += 1
    return min(start, point, key=lambda p: p.loss)


def _zoom(search: _Search, bracket: list[Point], narrow: Callable[[float], bool]) -> Point:
    """Return the best point after shrinking a bracket around one that fulfils the conditions."""
    low, was_close = _lowest(bracket), False
    while search.left > 0 and not narrow(abs(bracket[1].t - bracket[0].t)):
        left, right = sorted(point.t for point in bracket)
        t = _cubic_minimum(bracket[0], bracket[1], left, right)
        t, was_close = _away_from_ends(t, left, right, was_close)
        point = search.at(t)
        if search.too_high(point) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = _lowest(bracket)
            continue
        if search.flat(point):
            return point
        if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    return bracket[low]


def _lowest(bracket: list[Point]) -> int:
    return 0 if bracket[0].loss <= bracket[1].loss else 1


def _away_from_ends(t: float, left: float, right: float, was_close: bool) -> tuple[float, bool]:
    """Return the trial, moved away from an end it keeps returning to, and whether it is close."""
    margin = MARGIN * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not was_close and left < t < right:
        return t, True
    return (right - margin if abs(t - right) < abs(t - left) else left + margin), False


def _cubic_minimum(one: Point, other: Point, low: float, high: float) -> float:
    """Return where the cubic through two points and their slopes is least, within limits.

    Where it has no minimum, or a value is not finite, the middle.
    """
    a, b = (one, other) if one.t <= other.t else (other, one)
    if a.t == b.t:
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not (math.isfinite(square) and square >= 0):
        return (low + high) / 2
    d2 = math.sqrt(square)
    width = b.slope - a.slope + 2 * d2
    if width == 0:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / width), low), high)
