"""Learning rates: how wide the good range is, which bests lie at the border, what to try next."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ravine.core.errors import SettingError
from ravine.studies.statistics import Direction, sign_of

Side = Literal["low", "high"]

# Ratio of neighbours in the default grid, 12 rates over five decades. Coarser grids extend by it
# too: steps of their own would leave every rate that can train.
MOST_OUTWARD = 10 ** (5 / 11)
BORDER = 0.1  # share of the grid's log range, at each end, in which a best rate calls for more


def range_width(
    rates: Sequence[float], scores: Sequence[float], direction: Direction, within: float = 0.01
) -> float:
    """Return the width, in decades, of the range of learning rates about as good as the best.

    The range holds the best rate and all around it, without a gap, whose score falls short of the
    best by at most ``within * |best|``. Where the score crosses that limit between two rates, it
    is interpolated linearly over log10(rate). Next to a failed rate or the end of the grid the
    range ends at the last rate that trained. The tolerance is relative for every score: 1 % means
    the same for a loss of any scale, and is close to one point for a good accuracy.

    Args:
        rates: Learning rates > 0, none twice, in any order, shape [C].
        scores: Score of each, shape [C]; NaN or infinite = failed.
        direction: ``"max"`` or ``"min"``.
        within: Tolerance as a share of the best score, >= 0.

    Returns:
        log10(highest / lowest rate of the range) >= 0; NaN where no rate has a score.

    Raises:
        SettingError: If rates are not positive, repeat, or are not as many as scores.

    >>> round(range_width([0.01, 0.1, 1.0, 10.0], [0.9, 1.0, 0.98, 0.1], "max"), 3)
    0.6
    """
    sign = sign_of(direction)
    if not within >= 0:
        raise SettingError(f"within must be >= 0, got {within}")
    log, height = _by_rate(rates, scores)
    height = np.where(np.isfinite(height), sign * height, np.nan)
    if np.isnan(height).all():
        return float("nan")
    best = int(np.nanargmax(height))
    limit = height[best] - within * abs(height[best])
    high = _crossing(log[best:], height[best:], limit)
    low = _crossing(log[best::-1], height[best::-1], limit)
    return high - low


def _by_rate(rates: Sequence[float], scores: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return log10 of the rates, upwards, and the scores in the same order."""
    rate, score = _positive("rates", rates), np.asarray(scores, float)
    if rate.shape != score.shape:
        raise SettingError(f"scores must be one per rate: {len(rate)}, got {len(score)}")
    if len(np.unique(rate)) < len(rate):
        raise SettingError(f"rates must not repeat, got {rate.tolist()}")
    order = np.argsort(rate)
    return np.log10(rate[order]), score[order]


def _crossing(log: np.ndarray, height: np.ndarray, limit: float) -> float:
    """Return where ``height``, walked from its first point on, falls below ``limit``."""
    outside = np.flatnonzero(~(height >= limit))  # NaN is outside
    if not len(outside):
        return float(log[-1])
    last, next_ = outside[0] - 1, outside[0]
    if np.isnan(height[next_]):
        return float(log[last])
    share = (height[last] - limit) / (height[last] - height[next_])
    return float(log[last] + share * (log[next_] - log[last]))


def border_optimizers(best_rates: Mapping[str, float], grid: Sequence[float]) -> dict[str, Side]:
    """Return the optimizers whose best rate lies in the outer 10 % of the grid, and at which end.

    Args:
        best_rates: Best learning rate of each optimizer, > 0.
        grid: The rates tried, > 0, at least two; the 10 % are of its range in log(rate).

    Returns:
        "low" or "high" by name, in the order given; optimizers that lie inside are left out.

    Raises:
        SettingError: If a rate is not positive or the grid has no range.

    >>> border_optimizers({"sgd": 10.0, "adam": 0.01}, [0.001, 0.01, 0.1, 1.0, 10.0])
    {'sgd': 'high'}
    """
    log = np.log(_grid(grid))
    edge = BORDER * (log[-1] - log[0])
    sides: dict[str, Side] = {}
    _positive("best_rates", list(best_rates.values()))
    for name, best in best_rates.items():
        if np.log(best) <= log[0] + edge:
            sides[name] = "low"
        elif np.log(best) >= log[-1] - edge:
            sides[name] = "high"
    return sides


def extra_rates(best: float, grid: Sequence[float], side: Side | None, count: int) -> list[float]:
    """Return the learning rates of the extra trials of one optimizer, as many for every one.

    At a border they continue the grid outwards by the ratio of its last two rates, at most that
    of the default grid, 2.85. Inside they
    lie between ``best`` and its two neighbours in the grid, evenly spaced in log(rate), half on
    each side (one more above where ``count`` is odd); they repeat no rate of the grid.

    Args:
        best: Best learning rate of the optimizer, > 0; at a border only the grid counts.
        grid: The rates tried, > 0, at least two.
        side: End of the grid at which the best lies; None: inside.
        count: Number of extra trials, >= 0.

    Returns:
        ``count`` rates; outwards from the border, else upwards.

    Raises:
        SettingError: If a rate is not positive, the grid has no range, ``count`` is negative, or
            ``best`` has no neighbour in the grid on both sides although ``side`` is None.

    >>> [round(rate, 6) for rate in extra_rates(1.0, [0.25, 0.5, 1.0], "high", 2)]
    [2.0, 4.0]
    >>> [round(rate, 3) for rate in extra_rates(0.1, [0.01, 0.1, 1.0], None, 2)]
    [0.032, 0.316]
    """
    rates = _grid(grid)
    _positive("best", [best])
    if count < 0:
        raise SettingError(f"count must be >= 0, got {count}")
    steps = np.arange(1, count + 1)
    if side == "high":
        return (rates[-1] * min(rates[-1] / rates[-2], MOST_OUTWARD) ** steps).tolist()
    if side == "low":
        return (rates[0] / min(rates[1] / rates[0], MOST_OUTWARD) ** steps).tolist()
    if not rates[0] < best < rates[-1]:
        raise SettingError(
            f"best must lie between the ends of the grid, {rates[0]:g} and {rates[-1]:g}, "
            f"got {best:g}; name the side of the border it lies at"
        )
    below, above = rates[rates < best][-1], rates[rates > best][0]
    lower = np.geomspace(below, best, count // 2 + 2)[1:-1]
    return [*lower.tolist(), *np.geomspace(best, above, count - count // 2 + 2)[1:-1].tolist()]


def _positive(name: str, rates: ArrayLike) -> np.ndarray:
    values = np.asarray(rates, float)
    if not (np.isfinite(values) & (values > 0)).all():
        raise SettingError(f"{name} must be > 0 and finite, got {values.tolist()}")
    return values


def _grid(grid: Sequence[float]) -> np.ndarray:
    """Return the different rates of the grid, upwards."""
    rates = np.unique(_positive("grid", grid))
    if len(rates) < 2:
        raise SettingError(f"grid must hold two different rates or more, got {list(grid)}")
    return rates
