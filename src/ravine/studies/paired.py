"""The numbers behind a comparison of pairs: paired differences, their tests, Holm's correction.

All pairs of a study are computed at once; every array has shape [pairs] unless said otherwise.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import special

from ravine.core.errors import SettingError

# Scores that agree to 12 digits differ by the rounding of a subtraction, not by a spread.
ROUNDING = 1e-12


class Paired(NamedTuple):
    """Summary of score(a) - score(b) over the seeds on which both finished."""

    seeds: int  # all seeds of the study
    common: np.ndarray  # seeds on which both finished
    mean: np.ndarray  # NaN without such a seed
    sd: np.ndarray
    low: np.ndarray  # ends of the t interval; NaN with fewer than two such seeds
    high: np.ndarray
    only_a: np.ndarray  # seeds on which a failed and b did not
    only_b: np.ndarray


def score_table(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the scores as one array, shape [optimizers, S], NaN for every failed member.

    Raises:
        SettingError: If the scores of some optimizer are not one per seed, as many as the others'.

    >>> score_table({"a": np.array([1.0, np.inf])})
    array([[ 1., nan]])
    """
    arrays = {name: np.asarray(values, float) for name, values in scores.items()}
    shapes = {name: values.shape for name, values in arrays.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        raise SettingError(f"scores must be one per seed, the same seeds for all, got {shapes}")
    table = np.array(list(arrays.values())).reshape(len(arrays), *next(iter(shapes.values()), (0,)))
    return np.where(np.isfinite(table), table, np.nan)


def paired_differences(a: np.ndarray, b: np.ndarray, level: float) -> Paired:
    """Return the paired differences a - b of every pair.

    Args:
        a: Scores of the first of each pair, shape [pairs, S]; NaN = failed.
        b: Scores of the second, the same shape.
        level: 1 - confidence of the intervals.

    >>> a, b = np.array([[3.0, 5.0, np.nan]]), np.array([[1.0, 1.0, 1.0]])
    >>> paired_differences(a, b, 0.05).mean
    array([3.])
    """
    lost_a, lost_b = np.isnan(a), np.isnan(b)
    both = ~lost_a & ~lost_b
    common = both.sum(axis=1)
    gap = np.where(both, a - b, 0.0)
    mean = gap.sum(axis=1) / np.maximum(common, 1)
    spread = np.where(both, gap - mean[:, None], 0.0)
    sd = np.sqrt((spread**2).sum(axis=1) / np.maximum(common - 1, 1))
    size = np.where(both, np.maximum(np.abs(a), np.abs(b)), 0.0)
    mean, sd = _without_rounding(mean, sd, ROUNDING * size.max(axis=1, initial=0.0))
    mean = np.where(common > 0, mean, np.nan)
    half = half_width(sd, common, level)
    only_a, only_b = (lost_a & ~lost_b).sum(axis=1), (lost_b & ~lost_a).sum(axis=1)
    return Paired(a.shape[1], common, mean, sd, mean - half, mean + half, only_a, only_b)


def _without_rounding(
    mean: np.ndarray, sd: np.ndarray, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd with a spread up to ``least`` taken as the rounding that it is."""
    sd = np.where(sd <= least, 0.0, sd)
    return np.where((sd == 0) & (np.abs(mean) <= least), 0.0, mean), sd


def half_width(sd: np.ndarray, count: np.ndarray, level: float) -> np.ndarray:
    """Return half the width of the t interval of a mean; NaN for fewer than two values.

    ``t(1 - level / 2, n - 1) * sd / sqrt(n)``

    >>> half_width(np.array([1.0]), np.array([3]), 0.05).round(4)
    array([2.4841])
    """
    enough = np.maximum(count, 2)
    half = special.stdtrit(enough - 1, 1 - level / 2) * sd / np.sqrt(enough)
    return np.where(count > 1, half, np.nan)


def t_test(paired: Paired) -> np.ndarray:
    """Return two-sided p-values of the paired t test.

    ``t = mean / (sd / sqrt(n))`` with n - 1 degrees of freedom. Without any spread t is infinite
    however few the seeds, so the sign test's ``2^(1 - n)`` is returned (1 for a mean of 0). With
    fewer than two values nothing is tested: 1.
    """
    n, size = paired.common, np.abs(paired.mean)
    varies = (n > 1) & (paired.sd > 0)
    t = np.divide(size * np.sqrt(n), paired.sd, out=np.zeros(len(n)), where=varies)
    p = 2 * special.stdtr(np.maximum(n - 1, 1), -t)
    constant = np.where((n > 1) & (size > 0), 2.0 ** (1 - n), 1.0)
    return np.where(varies, p, constant)


def sign_test(paired: Paired) -> np.ndarray:
    """Return two-sided exact p-values of "both sides fail equally often".

    ``min(1, 2 P(X <= min(a, b)))`` for X ~ Binomial(a + b, 1/2), where a and b count the seeds
    on which only the one or only the other side failed (McNemar's exact test).
    """
    fewer = np.minimum(paired.only_a, paired.only_b)
    return np.minimum(1.0, 2 * special.bdtr(fewer, paired.only_a + paired.only_b, 0.5))


def inside(paired: Paired, margin: float, level: float) -> np.ndarray:
    """Return where the whole t interval lies between -margin and margin.

    Without any spread the interval is a point however few the seeds, so the sign test's
    ``2^(1 - n)`` must be at most the level as well.
    """
    enough = (paired.sd > 0) | (2.0 ** (1 - paired.common) <= level)
    return (paired.low > -margin) & (paired.high < margin) & enough


def evidence(
    paired: Paired, sign: float, level: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the p-value of each pair and the side it speaks for: +1 a, -1 b, 0 neither.

    Scores and failures are two tests, so with failures on one side only the smaller p-value is
    doubled. The side is the one that failed less often, or neither when the scores significantly
    contradict; with equal failures it is the one with the better mean. Where failures differ and
    scores are equal within the margin, the failures speak alone.

    Args:
        paired: Summary of the pairs.
        sign: +1 where higher scores are better, -1 where lower.
        level: Level at which scores contradict failures.
        margin: Smallest difference that matters; 0: any does.
    """
    by_scores = sign * np.sign(np.nan_to_num(paired.mean))
    by_failures = np.sign(paired.only_b - paired.only_a)
    negligible = (by_failures != 0) & inside(paired, margin, level)
    p_scores = np.where(negligible, 1.0, t_test(paired))
    p_both = np.minimum(1.0, 2 * np.minimum(p_scores, sign_test(paired)))
    p = np.where(paired.only_a + paired.only_b > 0, p_both, p_scores)
    side = np.where(by_failures == 0, by_scores, by_failures)
    contradicted = (p_scores <= level) & (by_scores * by_failures < 0)
    return p, np.where(contradicted, 0.0, side)


def step_down(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Holm's step-down procedure, not yet cut off at 1.

    With the m p-values sorted upwards, ``max over j <= k of (m - j + 1) p(j)``. Reject where that
    is at most the level: then the chance of any false rejection is at most the level, whatever
    the dependence between the tests.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2), 65-70.

    >>> step_down(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    stepped = np.empty(len(p))
    stepped[order] = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    return stepped
