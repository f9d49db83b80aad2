"""A probe for convexity: the secant test on random segments."""

from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.core.seeding import rng
from ravine.gradients._curvature_objective import Objective, flat
from ravine.gradients._spectrum_figure import LINE, SECOND, WRONG, plain_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_SHARES = (0.25, 0.5, 0.75)  # places on a segment
# A mean over a batch rounds a few times more than once.
_ROUNDING = 64.0


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment and the place on it where the loss is highest above its secant.

    Args:
        start: End a, flat [P].
        end: End b, flat [P].
        share: s, in (0, 1): the place is ``(1 - s) a + s b``.
        loss: There.
        secant: ``(1 - s) L(a) + s L(b)``.
        rounding: What rounding may add to their difference.
    """

    start: Tensor
    end: Tensor
    share: float
    loss: float
    secant: float
    rounding: float

    @property
    def gap(self) -> float:
        """How far the loss lies above the secant; a convex function has none > 0."""
        return self.loss - self.secant

    @property
    def violates(self) -> bool:
        """Whether the gap is more than rounding: such a function is not convex."""
        return self.gap > self.rounding


@dataclass(frozen=True, eq=False)
class ConvexityProbe:
    """What the secant test found.

    Args:
        here: The function.
        segments: All that were tried.
    """

    here: Objective
    segments: tuple[Segment, ...]

    @property
    def worst(self) -> Segment:
        """The segment with the largest gap beyond rounding, of those with finite losses."""
        return max((s for s in self.segments if isfinite(s.gap)), key=lambda s: s.gap - s.rounding)

    @property
    def violation(self) -> Segment | None:
        """The segment with the largest gap beyond rounding; None where none has one."""
        return self.worst if self.worst.violates else None

    @property
    def ok(self) -> bool:
        """Whether all segments passed: no proof of convexity, while one violation disproves it."""
        return self.violation is None

    def frame(self) -> pd.DataFrame:
        """Return one row per segment: ``segment, share, loss, secant, gap, rounding, violates``."""
        columns = ("share", "loss", "secant", "gap", "rounding", "violates")
        rows = [[getattr(one, c) for c in columns] for one in self.segments]
        table = pd.DataFrame(rows, columns=list(columns))
        table.insert(0, "segment", range(len(table)))
        return table

    def text(self) -> str:
        """Return the result as a line for a terminal."""
        worst = self.violation
        count = sum(isfinite(one.gap) for one in self.segments)
        lost = len(self.segments) - count
        besides = f"; on {lost} more the loss is not finite" if lost else ""
        if worst is None:
            return f"no violation of convexity on {count} random segments{besides}"
        violating = sum(one.violates for one in self.segments)
        return (
            f"not convex: on {violating} of {count} random segments the loss lies above the secant,"
            f" at worst {worst.loss:.6g} against {worst.secant:.6g} at share {worst.share:g}"
            f"{besides}"
        )

    def plot(self, points: int = 101) -> "Figure":
        """Return the figure: the loss along the worst segment, and its secant.

        Args:
            points: Places on the segment at which the loss is evaluated.
        """
        worst = self.worst
        shares = np.linspace(0, 1, points)
        losses = [self.here.at(torch.lerp(worst.start, worst.end, float(s))) for s in shares]
        chart = plain_figure("share of the way from a to b", "loss")
        look = WRONG if worst.violates else LINE
        chart.add_scatter(x=shares, y=losses, mode="lines", line=look, name="loss")
        ends = [losses[0], losses[-1]]
        chart.add_scatter(x=[0, 1], y=ends, mode="lines", line=SECOND, name="secant")
        return chart


def convexity_probe(
    here: Objective, *, segments: int = 100, radius: float = 1.0, seed: int = 0
) -> ConvexityProbe:
    r"""Test on random segments around a point whether the secant lies on or above the loss.

    .. math:: L((1 - s) a + s b) \le (1 - s) L(a) + s L(b), \quad s \in \{1/4, 1/2, 3/4\}

    Args:
        here: The point, from `objective` or `objective_of`.
        segments: Number of segments, >= 1.
        radius: Deviation of their ends from the point, per weight, > 0; in units of the root mean
            square of the weights, or of 1 where all are 0.
        seed: Fixes the segments.

    Raises:
        SettingError: A number is out of bounds, or the loss is finite on no segment.

    >>> from ravine.gradients._curvature_objective import objective_of
    >>> wave = objective_of(lambda w: w.sin().sum(), torch.ones(1, dtype=torch.float64))
    >>> bowl = objective_of(lambda w: (w**2).sum(), torch.ones(1, dtype=torch.float64))
    >>> convexity_probe(wave).ok, convexity_probe(bowl).ok
    (False, True)
    """
    if isinstance(segments, bool) or not isinstance(segments, int) or segments < 1:
        raise SettingError(f"segments must be an integer >= 1, got {segments!r}")
    if not 0 < radius < float("inf"):
        raise SettingError(f"radius must be a number > 0, got {radius}")
    point, random = flat(here.point), rng(seed, "convexity")
    scale = radius * (float(point.double().square().mean().sqrt()) or 1.0)
    ends = (_near(point, scale, random) for _ in range(2 * segments))
    tested = tuple(_tested(here, next(ends), next(ends)) for _ in range(segments))
    if not any(isfinite(one.gap) for one in tested):
        raise SettingError(
            f"radius must leave the loss finite on some segment, got {radius}: it is finite on none"
            f" of {segments}; take a smaller one"
        )
    return ConvexityProbe(here, tested)


def _near(point: Tensor, scale: float, random: np.random.Generator) -> Tensor:
    return point + torch.from_numpy(scale * random.standard_normal(len(point))).to(point.dtype)


def _tested(here: Objective, a: Tensor, b: Tensor) -> Segment:
    at_a, at_b = here.at(a), here.at(b)
    losses = {s: here.at(torch.lerp(a, b, s)) for s in _SHARES}
    secants = {s: (1 - s) * at_a + s * at_b for s in _SHARES}
    gaps = {s: losses[s] - secants[s] for s in _SHARES}
    worst = max(_SHARES, key=lambda s: gaps[s] if isfinite(gaps[s]) else -inf)
    largest = max(abs(at_a), abs(at_b), abs(losses[worst]))
    # The place itself is rounded too, which moves the loss by its slope times that.
    moved = abs(at_a - at_b) + largest
    rounding = _ROUNDING * torch.finfo(here.dtype).eps * moved
    return Segment(a, b, worst, losses[worst], secants[worst], rounding)
