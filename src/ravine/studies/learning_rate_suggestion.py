"""From losses at learning rates to one rate and an interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

LEVEL = 0.95
# Steps on each side over which a ramp's slope is taken: 0.3 decades of its 6 over 200. From step
# to step the slope is noise, and steepest where the rate still does nothing.
_REACH = 10
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A learning rate and the interval it lies in; NaN where there is none."""

    lr: float
    low: float
    high: float

    def holds(self, lr: float) -> bool:
        """Whether a rate lies inside, ends included."""
        return self.low <= lr <= self.high


NOTHING = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Suggestion:
    """What the test suggests for one optimizer.

    Args:
        optimizer: Its name.
        population: From short trainings at every rate.
        ramp: From the classic ramp.
        note: What to know about it; empty as a rule.
    """

    optimizer: str
    population: Interval
    ramp: Interval
    note: str


def suggest(name: str, rates: Array, losses: Array, from_ramp: Interval) -> Suggestion:
    """Suggest a rate for one optimizer.

    The rate is the vertex of a parabola in log(rate) through the lowest mean loss over seeds and
    its two neighbours. The interval holds every rate around it, without a gap, whose loss is not
    worse by a one-sided paired t test at 95 %, and reaches half way to the first that is. It is
    about the loss after a short training: that a longer one wants another rate is not in it.

    Args:
        name: The optimizer's.
        rates: Upwards, [R].
        losses: At the end of each training, infinite where it diverged, [R, S].
        from_ramp: What the classic ramp suggests.
    """
    mean = losses.mean(axis=1)
    if not np.isfinite(mean).any():
        return Suggestion(name, NOTHING, from_ramp, "every rate diverged on some seed: lower them")
    best = int(np.argmin(np.where(np.isfinite(mean), mean, np.inf)))
    log = np.log10(rates)
    low = _end(log[best::-1], losses[best::-1])
    high = _end(log[best:], losses[best:])
    lr = _vertex(log, mean, best)
    found = Interval(*(float(10**x) for x in (lr, low, high)))
    return Suggestion(name, found, from_ramp, _note(best, len(rates)))


def _note(best: int, count: int) -> str:
    if best == 0:
        return "the lowest rate is best: try lower ones"
    return "the highest rate is best: try higher ones" if best == count - 1 else ""


def _vertex(log: Array, mean: Array, best: int) -> float:
    near = slice(best - 1, best + 2)
    if best in (0, len(log) - 1) or not np.isfinite(mean[near]).all():
        return float(log[best])
    a, b, _ = np.polyfit(log[near] - log[best], mean[near], 2)
    shift = -b / (2 * a) if a > 0 else 0.0
    # The lowest of three evenly spaced points is never further than half a step from the vertex.
    return float(np.clip(log[best] + shift, log[best - 1], log[best + 1]))


def _end(log: Array, losses: Array) -> float:
    """Return where, walking away from the first rate, the first that is worse comes in sight."""
    seeds = losses.shape[1]
    critical = student.ppf(LEVEL, seeds - 1)
    for i in range(1, len(log)):
        difference = losses[i] - losses[0]
        if not np.isfinite(difference).all():
            return float((log[i - 1] + log[i]) / 2)
        spread = difference.std(ddof=1) / np.sqrt(seeds)
        if difference.mean() > critical * spread:
            return float((log[i - 1] + log[i]) / 2)
    return float(log[-1])


def suggest_from_ramp(runs: Sequence[pd.DataFrame]) -> Interval:
    """Return the rate at which the smoothed loss of a ramp falls fastest, over seeds.

    Geometric mean and 95 % t interval in log(rate); the slope is in log(rate) too, looked for up
    to the lowest point. Seeds whose loss never falls are left out.

    Args:
        runs: One ramp per seed, with ``lr`` and ``smooth``.

    Source: Smith 2017, arXiv:1506.01186, section 3.3; the steepest point: Howard & Gugger 2020,
    "fastai: a layered API for deep learning".
    """
    logs = [x for run in runs if (x := _steepest(run)) is not None]
    if not logs:
        return NOTHING
    middle = float(np.mean(logs))
    if len(logs) == 1:
        return Interval(10**middle, np.nan, np.nan)
    half = student.ppf((1 + LEVEL) / 2, len(logs) - 1) * np.std(logs, ddof=1) / np.sqrt(len(logs))
    return Interval(*(float(10**x) for x in (middle, middle - half, middle + half)))


def _steepest(run: pd.DataFrame) -> float | None:
    log, smooth = np.log10(run["lr"].to_numpy()), run["smooth"].to_numpy()
    fall = smooth[2 * _REACH :] - smooth[: -2 * _REACH]
    lowest = int(np.argmin(smooth))
    inside = fall[: max(0, lowest - _REACH + 1)]
    if not inside.size or inside.min() >= 0:
        return None
    return float(log[_REACH + int(np.argmin(inside))])
