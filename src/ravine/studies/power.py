"""How many seeds decide a pair: the power of the paired t test, and the smallest number."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ravine.studies.paired import Paired, half_width

POWER = 0.8  # the chance of success that studies are commonly planned for
MOST_SEEDS = 2**13  # beyond this a number of seeds is no plan, so none is named


def power(seeds: ArrayLike, effect: ArrayLike, level: ArrayLike) -> np.ndarray:
    """Return the chance that a paired t test claims a true difference, in its true direction.

    ``P(T > t(1 - level / 2, n - 1))`` for T noncentral t with n - 1 degrees of freedom and
    noncentrality ``effect * sqrt(n)``.

    Args:
        seeds: Number of seeds n >= 2.
        effect: Mean difference over the standard deviation of the differences, >= 0.
        level: Two-sided level of the test, between 0 and 1.

    Returns:
        The power, of the shape that the arguments broadcast to.

    >>> power(20, 1.0, 0.05).round(3)
    np.float64(0.989)
    """
    n = np.asarray(seeds, float)
    critical = special.stdtrit(n - 1, 1 - np.asarray(level) / 2)
    # SciPy's noncentral t is NaN far out in the tail; up there the power is 1 to four digits.
    shift = np.minimum(np.asarray(effect) * np.sqrt(n), 4 * critical + 10)
    return 1 - special.nctdtr(n - 1, shift, critical)


def seeds_needed(
    paired: Paired, levels: np.ndarray, level: float, margin: float
) -> list[int | None]:
    """Return the smallest numbers of seeds at which pairs would be decided.

    Decided is: a difference is claimed with power 80 %, or the t interval lies inside +-``margin``,
    if mean and spread of the differences stay as they are. Without spread a difference is claimed
    by the sign test, from ``2^(1 - n) <= levels``, and equality from ``2^(1 - n) <= level``.
    Failures (as many on both sides) are taken to stay as frequent, so the seeds on which both
    finish grow in proportion.

    Args:
        paired: Summary of the pairs, at least two seeds each on which both finished.
        levels: Levels at which a claim about each pair is tested, shape [pairs].
        level: Level of the intervals (1 - confidence).
        margin: Smallest difference that matters; 0: nothing is equivalent.

    Returns:
        At least 2 for each pair; None where even 2^13 seeds would not decide.
    """
    size, sd = np.abs(paired.mean), paired.sd
    effect = np.divide(size, sd, out=np.zeros(len(size)), where=sd > 0)

    def decided(n: np.ndarray) -> np.ndarray:
        by_sign = (sd == 0) & (size > 0) & (2.0 ** (1 - n) <= levels)
        enough = (sd > 0) | (2.0 ** (1 - n) <= level)
        inside = (size + half_width(sd, n, level) < margin) & enough
        return by_sign | inside | (power(n, effect, levels) >= POWER)

    common = _smallest(decided, len(size))
    share = paired.common / paired.seeds
    return [int(np.ceil(n / s)) if n else None for n, s in zip(common, share, strict=True)]


def _smallest(decided: Callable[[np.ndarray], np.ndarray], pairs: int) -> np.ndarray:
    """Return per pair the smallest n in 2..MOST_SEEDS from which ``decided`` holds, else 0."""
    low, high = np.ones(pairs), np.full(pairs, MOST_SEEDS + 1.0)
    while (high - low > 1).any():
        middle = np.maximum((low + high) // 2, 2)
        found = decided(middle)
        low, high = np.where(found, low, middle), np.where(found, middle, high)
    return np.where(high > MOST_SEEDS, 0, high)
