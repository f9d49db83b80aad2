"""Intervals, pairs and budgets against scipy.stats, plain oracles and enumeration."""

from itertools import combinations
from math import comb, inf, isnan, nan

import numpy as np
import pytest
from scipy import stats

from ravine.core.errors import SettingError
from ravine.core.seeding import rng
from ravine.studies.statistics import (
    Interval,
    compare_pairs,
    expected_best,
    mean_interval,
    median_steps_to_target,
)


def noisy(*means: float, seeds: int = 20, spread: float = 0.01) -> dict[str, np.ndarray]:
    """Return scores of optimizers a, b, ... whose seeds share half of their noise."""
    r = rng(6, "scores", seeds)
    shared = r.normal(0, spread, seeds)
    return {
        name: mean + shared + r.normal(0, spread, seeds)
        for name, mean in zip("abcdefgh", means, strict=False)
    }


def plain_holm(p: list[float]) -> list[float]:
    """Adjust p-values one after the other, from the smallest, as Holm's paper says."""
    adjusted, reached = [0.0] * len(p), 0.0
    for done, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        reached = max(reached, (len(p) - done) * p[i])
        adjusted[i] = min(1.0, reached)
    return adjusted


# --- the mean and its interval


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_mean_interval_is_scipys(confidence):
    values = noisy(0.9)["a"]
    low, high = stats.t.interval(confidence, 19, values.mean(), stats.sem(values))
    expected = Interval(values.mean(), low, high, 0)
    assert mean_interval(values, confidence) == pytest.approx(expected, rel=1e-12)


def test_mean_interval_leaves_failures_out_and_counts_them():
    assert mean_interval([1.0, nan, 2.0, inf, 3.0]) == mean_interval([1.0, 2.0, 3.0])._replace(
        failures=2
    )


def test_mean_interval_of_one_value_and_of_none():
    one, none = mean_interval([0.5]), mean_interval([nan, nan])
    assert one.mean == 0.5 and isnan(one.low) and isnan(one.high) and one.failures == 0
    assert all(map(isnan, none[:3])) and none.failures == 2


# --- pairs


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize("seeds", [2, 3, 20])
def test_pairs_are_scipys_paired_t_tests_with_holms_correction(seeds, direction):
    scores = noisy(0.95, 0.9, 0.949, 0.91, seeds=seeds)
    pairs = compare_pairs(scores, direction, None)
    assert [(p.a, p.b) for p in pairs] == list(combinations("abcd", 2))
    tests = [stats.ttest_rel(scores[p.a], scores[p.b]) for p in pairs]
    for pair, test in zip(pairs, tests, strict=True):
        low, high = test.confidence_interval(0.95)
        assert pair.p == pytest.approx(test.pvalue, rel=1e-9)
        assert (pair.low, pair.high) == pytest.approx((low, high), rel=1e-9)
        assert pair.difference == pytest.approx((scores[pair.a] - scores[pair.b]).mean())
    holm = plain_holm([test.pvalue for test in tests])
    assert [pair.p_holm for pair in pairs] == pytest.approx(holm, rel=1e-9)


@pytest.mark.parametrize(
    ("direction", "first", "second"),
    [
        ("max", "better", "worse"),
        ("min", "worse", "better"),
    ],
)
def test_the_verdict_is_seen_from_a_and_follows_the_direction(direction, first, second):
    scores = noisy(0.95, 0.9)
    (pair,) = compare_pairs(scores, direction, 0.005)
    (turned,) = compare_pairs({"b": scores["b"], "a": scores["a"]}, direction, 0.005)
    assert (pair.verdict, turned.verdict) == (first, second)
    assert pair.seeds_needed is None
    assert (turned.difference, turned.low, turned.high, turned.p) == pytest.approx(
        (-pair.difference, -pair.high, -pair.low, pair.p)
    )


def test_holms_correction_withholds_a_claim_that_one_test_would_make():
    scores = noisy(*[0.9] * 8)
    pairs = compare_pairs(scores, "max", None)
    assert any(pair.p <= 0.05 for pair in pairs)
    assert all(pair.verdict == "undecided" for pair in pairs)


def test_equivalent_is_the_interval_inside_the_margin_and_precedes_better():
    scores = noisy(0.9, 0.9, spread=0.001)
    scores["b"] = scores["a"] + 0.0004 + 0.0001 * stats.zscore(np.arange(20.0), ddof=1)
    (pair,) = compare_pairs(scores, "max", None)
    assert pair.verdict == "worse" and pair.p_holm < 1e-9
    end = -pair.low
    assert compare_pairs(scores, "max", end * 1.001)[0].verdict == "equivalent"
    assert compare_pairs(scores, "max", end * 0.999)[0].verdict == "worse"


def test_equal_scores_are_equivalent_within_any_margin_and_undecided_without():
    scores = {"a": np.full(6, 0.9), "b": np.full(6, 0.9)}
    (pair,) = compare_pairs(scores, "max", 1e-6)
    assert (pair.verdict, pair.p, pair.low, pair.high) == ("equivalent", 1.0, 0.0, 0.0)
    (pair,) = compare_pairs(scores, "max", None)
    assert (pair.verdict, pair.p, pair.seeds_needed) == ("undecided", 1.0, None)


@pytest.mark.parametrize("seeds", [2, 5])
def test_few_seeds_without_spread_show_no_equivalence(seeds):
    """2^(1 - n) is above 0.05 up to five seeds; two equal pairs of a coarse score are a chance."""
    scores = {"a": np.full(seeds, 0.9), "b": np.full(seeds, 0.9)}
    (pair,) = compare_pairs(scores, "max", 0.005)
    assert (pair.verdict, pair.seeds_needed) == ("undecided", 6)


@pytest.mark.parametrize("seeds", [2, 5, 6, 20])
def test_a_constant_difference_is_worth_a_sign_test(seeds):
    """0.1 is not exact in binary: the differences vary by rounding, which is no spread."""
    base = np.arange(seeds) / 7
    (pair,) = compare_pairs({"a": base + 0.1, "b": base}, "max", None)
    assert (pair.low, pair.high) == pytest.approx((0.1, 0.1))
    assert pair.p == pytest.approx(stats.binomtest(seeds, seeds, 0.5).pvalue)
    assert pair.verdict == ("better" if seeds >= 6 else "undecided")
    assert pair.seeds_needed == (None if seeds >= 6 else 6)


def test_one_seed_and_one_optimizer_show_nothing():
    (pair,) = compare_pairs({"a": np.array([0.9]), "b": np.array([0.1])}, "max", 0.005)
    assert (pair.verdict, pair.p, pair.seeds_needed) == ("undecided", 1.0, None)
    assert pair.difference == pytest.approx(0.8) and isnan(pair.low) and isnan(pair.high)
    assert compare_pairs({"a": np.array([0.9, 0.8])}, "max", 0.005) == []
    assert compare_pairs({}, "max", 0.005) == []


# --- failures


def failing(scores: dict[str, np.ndarray], **seeds: range) -> dict[str, np.ndarray]:
    failed = {name: values.copy() for name, values in scores.items()}
    for name, lost in seeds.items():
        failed[name][list(lost)] = nan
    return failed


def test_the_side_that_failed_more_often_cannot_be_better():
    scores = noisy(0.95, 0.9)
    assert compare_pairs(scores, "max", 0.005)[0].verdict == "better"
    (pair,) = compare_pairs(failing(scores, a=range(1)), "max", 0.005)
    assert (pair.verdict, pair.seeds_needed) == ("undecided", None)
    assert (pair.failures_a, pair.failures_b) == (1, 0)
    (pair,) = compare_pairs(failing(scores, b=range(1)), "max", 0.005)
    assert pair.verdict == "better"
    test = stats.ttest_rel(scores["a"][1:], scores["b"][1:])
    assert pair.p == pytest.approx(2 * test.pvalue, rel=1e-9)
    assert pair.difference == pytest.approx((scores["a"] - scores["b"])[1:].mean())


def test_equal_failures_allow_claims_and_unequal_ones_no_equivalence():
    close = noisy(0.9, 0.9, spread=0.0001)
    assert compare_pairs(close, "max", 0.005)[0].verdict == "equivalent"
    assert compare_pairs(failing(close, a=range(1)), "max", 0.005)[0].verdict == "undecided"
    slightly = {**close, "b": close["b"] + 0.0005}  # a is worse, for sure, by far too little
    assert compare_pairs(slightly, "max", None)[0].verdict == "worse"
    assert compare_pairs(failing(slightly, a=range(1)), "max", None)[0].verdict == "worse"
    assert compare_pairs(failing(slightly, a=range(1)), "max", 0.005)[0].verdict == "undecided"
    assert compare_pairs(failing(slightly, b=range(12)), "max", 0.005)[0].verdict == "better"
    both = failing(close, a=range(2), b=range(2, 4))
    assert compare_pairs(both, "max", 0.005)[0].verdict == "equivalent"
    apart = failing(noisy(0.95, 0.9), a=range(2), b=range(2))
    (pair,) = compare_pairs(apart, "max", 0.005)
    assert pair.verdict == "better"
    assert pair.p == pytest.approx(stats.ttest_rel(apart["a"][2:], apart["b"][2:]).pvalue, rel=1e-9)


@pytest.mark.parametrize("failures", [3, 12, 20])
def test_many_failures_decide_by_an_exact_sign_test(failures):
    scores = failing(noisy(0.9, 0.9), a=range(failures))
    (pair,) = compare_pairs(scores, "max", 0.005)
    sign = stats.binomtest(0, failures, 0.5).pvalue
    common = 20 - failures
    score = stats.ttest_rel(scores["a"][-common:], scores["b"][-common:]).pvalue if common else 1
    assert pair.p == pytest.approx(min(1, 2 * min(sign, score)), rel=1e-9)
    assert pair.verdict == ("undecided" if failures == 3 else "worse")
    assert isnan(pair.difference) == (failures == 20)


def test_scores_that_contradict_many_failures_leave_a_pair_undecided():
    (pair,) = compare_pairs(failing(noisy(0.95, 0.9), a=range(12)), "max", 0.005)
    assert pair.p_holm < 0.05 and pair.verdict == "undecided"


def test_failures_of_a_third_optimizer_change_no_pair_but_by_holm():
    scores = noisy(0.95, 0.9, 0.8)
    before = compare_pairs(scores, "max", 0.005)[0]
    after = compare_pairs(failing(scores, c=range(9)), "max", 0.005)[0]
    assert (before.p, before.low, before.high) == (after.p, after.low, after.high)


# --- budget and target


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize("failed", [0, 2])
def test_expected_best_is_the_mean_over_all_subsets(direction, failed):
    values = noisy(0.9, seeds=9)["a"]
    values[3] = values[5]  # a tie
    values[:failed] = nan
    best = max if direction == "max" else min
    worst = np.nanmin(values) if direction == "max" else np.nanmax(values)
    seen = np.where(np.isnan(values), worst, values)
    for k, expected in enumerate(expected_best(values, direction), start=1):
        subsets = [best(chosen) for chosen in combinations(seen, k)]
        assert expected == pytest.approx(sum(subsets) / comb(9, k), rel=1e-12)


def test_expected_best_of_many_trials_ends_at_the_best_and_never_falls():
    values = noisy(0.9, seeds=2000)["a"]
    curve = expected_best(values, "max")
    assert curve[0] == pytest.approx(values.mean()) and curve[-1] == values.max()
    assert (np.diff(curve) >= -1e-15).all()
    assert np.isnan(expected_best([nan, inf], "max")).all() and len(expected_best([], "max")) == 0


def test_median_steps_count_a_miss_as_infinite():
    hit, late, miss = ([5, 10], [0.9, 0.95]), ([5, 10], [0.1, 0.9]), ([5, 10], [nan, 0.8])
    assert median_steps_to_target([hit, late, miss], 0.9, "max") == 10
    assert median_steps_to_target([hit, miss, miss], 0.9, "max") == inf
    assert median_steps_to_target([hit, miss], 0.9, "max") == inf
    assert median_steps_to_target([([1, 2, 3], [0.5, 0.3, 0.4])], 0.3, "min") == 2
    assert median_steps_to_target([([], [])], 0.3, "min") == inf


# --- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([1.0], 1.0), "confidence must be between 0 and 1, got 1.0"),
        (lambda: mean_interval([[1.0]]), "one per seed"),
        (lambda: compare_pairs({}, "up", None), "unknown direction 'up'"),
        (lambda: compare_pairs({}, "max", 0.0), "smallest_difference must be > 0"),
        (lambda: compare_pairs({}, "max", nan), "smallest_difference must be > 0"),
        (
            lambda: compare_pairs({"a": np.ones(2), "b": np.ones(3)}, "max", None),
            r"the same seeds for all, got {'a': \(2,\), 'b': \(3,\)}",
        ),
        (lambda: expected_best([1.0], "best"), "unknown direction"),
        (lambda: median_steps_to_target([], 1.0, "max"), "at least one member"),
        (lambda: median_steps_to_target([([1, 2], [0.5])], 1.0, "max"), "one per step: 2, got 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(SettingError, match=message):
        call()
