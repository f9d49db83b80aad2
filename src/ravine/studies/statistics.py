"""What scores say: a mean with its interval, what a budget buys, and which pairs differ.

Why t and not the percentile bootstrap: for few seeds the latter is too narrow and claims
differences between identical optimizers far too often; ``tests/studies/test_calibration.py`` holds
both facts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ravine.core.direction import Direction
from ravine.core.errors import SettingError, unknown
from ravine.studies.paired import (
    Paired,
    evidence,
    half_width,
    inside,
    paired_differences,
    score_table,
    step_down,
)
from ravine.studies.power import seeds_needed

Verdict = Literal["better", "worse", "equivalent", "undecided"]


class Interval(NamedTuple):
    """A mean with its confidence interval, and the number of failed members it leaves out."""

    mean: float
    low: float
    high: float
    failures: int = 0


@dataclass(frozen=True)
class Pair:
    """How optimizer ``a`` compares with ``b``.

    Attributes:
        a: Name of the first optimizer; ``verdict`` is seen from here.
        b: Name of the second optimizer.
        difference: Mean of score(a) - score(b) over the seeds on which both finished, in units of
            the score; NaN without such a seed.
        low: Lower end of the t interval of ``difference``; NaN with fewer than two such seeds.
        high: Upper end.
        p: Two-sided p-value of "no difference"; 1 where nothing can be tested.
        p_holm: The same after Holm's correction over all pairs.
        verdict: better | worse | equivalent | undecided.
        seeds_needed: Seeds at which an undecided pair would be decided; None where it is decided
            or no number can be given.
        failures_a: Seeds on which ``a`` has no finite score.
        failures_b: The same for ``b``.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    verdict: Verdict
    seeds_needed: int | None
    failures_a: int = 0
    failures_b: int = 0


def sign_of(direction: Direction) -> float:
    """Return +1 where a higher score is better (``"max"``), -1 where a lower one is (``"min"``).

    Raises:
        SettingError: For any other direction.

    >>> sign_of("min")
    -1.0
    """
    if direction not in ("max", "min"):
        raise unknown("direction", str(direction), ("max", "min"))
    return 1.0 if direction == "max" else -1.0


def mean_interval(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the mean of the scores of one optimizer and its t interval.

    ``mean -+ t(1 - (1 - confidence) / 2, n - 1) * sd / sqrt(n)``

    A member without a finite score (diverged, stopped) has nothing to average: it is left out of
    the mean and counted in ``failures``, which belongs beside the mean wherever that is shown.

    Args:
        values: Scores, one per seed; NaN or infinite = failed.
        confidence: Between 0 and 1, both excluded.

    Returns:
        The interval; its ends are NaN for a single finite value, the mean too for none.

    Raises:
        SettingError: If ``confidence`` is out of bounds or ``values`` is not one-dimensional.

    >>> mean_interval([1.0, 2.0, 3.0])
    Interval(mean=2.0, low=-0.484..., high=4.484..., failures=0)
    """
    level = _level(confidence)
    scores = score_table({"values": np.asarray(values, float)})[0]
    finite = scores[~np.isnan(scores)]
    failures = len(scores) - len(finite)
    mean = float(finite.mean()) if len(finite) else np.nan
    sd = finite.std(ddof=1) if len(finite) > 1 else np.nan
    half = float(half_width(np.asarray(sd), np.asarray(len(finite)), level))
    return Interval(mean, mean - half, mean + half, failures)


def expected_best(values: Sequence[float] | np.ndarray, direction: Direction) -> np.ndarray:
    """Return the expected best score after k = 1..n of the n trials, drawn in random order.

    With the scores sorted from worst to best, ``E_k = sum_i v_(i) C(i - 1, k - 1) / C(n, k)``: the
    mean over all subsets of k trials, drawn without replacement, of the best among them. Exact,
    and at k = n the best score itself. A failed trial costs budget like any other; it counts as
    the worst score seen, since k trials may all have failed.

    Args:
        values: Scores of the trials of one optimizer, shape [n]; NaN or infinite = failed.
        direction: ``"max"`` or ``"min"``.

    Returns:
        Expected best scores, shape [n]; all NaN where every trial failed.

    Source: Dodge et al. 2019, arXiv:1909.03004, who draw with replacement.

    >>> expected_best([0.5, 0.9, 0.7], "max").round(3)
    array([0.7  , 0.833, 0.9  ])
    """
    height = sign_of(direction) * np.asarray(values, float)
    finite = height[np.isfinite(height)]
    n = len(height)
    if not len(finite):
        return np.full(n, np.nan)
    worst_last = np.sort(np.where(np.isfinite(height), height, finite.min()))[::-1]
    # weights[k - 1, j]: chance that the best of k trials is the one with j better ones. The first
    # is k / n; each next is the last times (n - j + 1 - k) / (n - j), 0 from j > n - k on.
    k, j = np.arange(1, n + 1)[:, None], np.arange(1, n)[None, :]
    factors = np.maximum(n - j + 1 - k, 0) / (n - j)
    weights = np.cumprod(np.hstack([k / n, factors]), axis=1)
    return sign_of(direction) * (weights @ worst_last)


def median_steps_to_target(
    curves: Iterable[tuple[Sequence[int], Sequence[float]]], target: float, direction: Direction
) -> float:
    """Return the median over members of the first step whose score reaches the target.

    A member that never reaches it counts as infinity, so the median is finite only where more
    than half of the members do (or exactly the middle one).

    Args:
        curves: Per member its steps, upwards, and the scores there, equally many; NaN never
            reaches anything.
        target: Score to reach.
        direction: ``"max"``: reached from below, score >= target; ``"min"``: score <= target.

    Returns:
        Steps, or infinity.

    Raises:
        SettingError: If there is no member, or a curve's steps and scores are not equally many.

    >>> median_steps_to_target([([10, 20], [0.5, 0.9]), ([10, 20], [0.9, 0.9])], 0.8, "max")
    15.0
    """
    sign = sign_of(direction)
    firsts = [_first_step(steps, scores, sign, target) for steps, scores in curves]
    if not firsts:
        raise SettingError("curves must hold at least one member, got none")
    return float(np.median(firsts))


def _first_step(steps: Sequence[int], scores: Sequence[float], sign: float, target: float) -> float:
    if len(steps) != len(scores):
        raise SettingError(f"scores must be one per step: {len(steps)}, got {len(scores)}")
    reached = np.flatnonzero(sign * np.asarray(scores, float) >= sign * target)
    return float(steps[reached[0]]) if len(reached) else float("inf")


def compare_pairs(
    scores: Mapping[str, np.ndarray],
    direction: Direction,
    smallest_difference: float | None,
    confidence: float = 0.95,
) -> list[Pair]:
    """Compare every two optimizers by paired t intervals with Holm's correction over all pairs.

    Per pair ``d_s = score_a(s) - score_b(s)`` over the seeds s on which both finished, and
    ``t = mean(d) / (sd(d) / sqrt(n))`` with n - 1 degrees of freedom.

    *Equivalent* means that the interval of the pair lies inside +-``smallest_difference``. It
    takes precedence over better and worse: a difference that is real but too small to matter is
    none to whoever chooses. *Better* and *worse* need ``p_holm <= 1 - confidence``, so the chance
    that a study of identical optimizers claims any difference is at most ``1 - confidence``.
    Intervals, and with them *equivalent*, hold for one pair at a time.

    *Failures* are evidence but have no number to average; any number put in their place would set
    the mean and the spread. So the differences speak about the seeds on which both finished, and
    an exact sign test about the seeds on which exactly one did; where there are such, ``p`` is
    twice the smaller of the two. A side that failed more often can be neither *better* nor
    *equivalent*; if it is significantly better where both finished, the pair is *undecided*, and
    if the scores are equal within the margin, the failures alone decide. Swapping two identical
    optimizers swaps the outcomes of both tests, so false claims stay bounded.

    *No spread* (all differences equal): p is 1 for no difference at all, else the sign test's
    ``2^(1 - n)``, since t would be infinite even for two seeds of a coarse score. For the same
    reason *equivalent* needs so many seeds that ``2^(1 - n) <= 1 - confidence``: 6 for 95 %.

    *seeds_needed*: the smallest number of seeds at which, with mean and spread as observed and the
    other pairs keeping their places, a difference would be claimed with power 80 % or the interval
    would lie inside the margin. None where one side failed more often.

    Args:
        scores: Per optimizer its scores, shape [S], aligned by seed; NaN or infinite = failed.
        direction: ``"max"`` where higher is better, ``"min"`` where lower is.
        smallest_difference: Smallest difference that matters, > 0, in units of the score; None:
            no pair is ever called equivalent.
        confidence: Between 0 and 1, both excluded.

    Returns:
        One Pair for every two optimizers, in the order of ``itertools.combinations(scores, 2)``.

    Raises:
        SettingError: If a setting is out of bounds or the scores do not align.

    >>> pair, = compare_pairs({"a": [0.9, 0.8, 0.9], "b": [0.7, 0.7, 0.7]}, "max", 0.005)
    >>> pair.verdict, round(pair.difference, 3), round(pair.p, 3)
    ('better', 0.167, 0.038)
    """
    sign, level = sign_of(direction), _level(confidence)
    margin = _margin(smallest_difference)
    table = score_table(scores)
    first, second = np.triu_indices(len(table), 1)
    paired = paired_differences(table[first], table[second], level)
    p, side = evidence(paired, sign, level, margin)
    stepped = step_down(p)
    verdicts = _verdicts(paired, stepped, side, level, margin)
    needed = _needed(paired, verdicts, level * p, stepped, level, margin)
    names, failed = np.array(list(scores), object), np.isnan(table).sum(axis=1)
    columns = [names[first], names[second], paired.mean, paired.low, paired.high]
    columns += [p, np.minimum(1.0, stepped), verdicts, needed, failed[first], failed[second]]
    return [Pair(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def _verdicts(
    paired: Paired, stepped: np.ndarray, side: np.ndarray, level: float, margin: float
) -> np.ndarray:
    equivalent = inside(paired, margin, level) & (paired.only_a == paired.only_b)
    claimed = stepped <= level
    cases = [equivalent, claimed & (side > 0), claimed & (side < 0)]
    return np.select(cases, ["equivalent", "better", "worse"], "undecided")


def _needed(
    paired: Paired,
    verdicts: np.ndarray,
    scaled: np.ndarray,
    stepped: np.ndarray,
    level: float,
    margin: float,
) -> np.ndarray:
    """Return seeds_needed of every pair; ``scaled`` is level * p."""
    asked = (verdicts == "undecided") & (paired.only_a == paired.only_b) & (paired.common > 1)
    chosen = Paired(paired.seeds, *(column[asked] for column in paired[1:]))
    # Holm's procedure tests each pair at its own level; undecided pairs have p > 0.
    levels = scaled[asked] / stepped[asked]
    needed = np.full(len(asked), None, object)
    needed[asked] = seeds_needed(chosen, levels, level, margin)
    return needed


def _level(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise SettingError(f"confidence must be between 0 and 1, got {confidence}")
    return 1 - confidence


def _margin(smallest_difference: float | None) -> float:
    """Return the margin of equivalence; 0, inside which no interval lies, where there is none."""
    if smallest_difference is None:
        return 0.0
    if not 0 < smallest_difference < np.inf:
        raise SettingError(
            f"smallest_difference must be > 0 and finite, or None for no margin, "
            f"got {smallest_difference}"
        )
    return float(smallest_difference)
