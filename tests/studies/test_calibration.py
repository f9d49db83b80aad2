"""Protocol point 8: identical optimizers are told apart in 5 % of studies at most; power holds."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from ravine.core.seeding import rng
from ravine.studies.statistics import Pair, compare_pairs

STUDIES, OPTIMIZERS, IMAGES = 1000, 8, 360


def accuracies(seeds: int, *, paired: bool, failures: float = 0.0) -> np.ndarray:
    """Return test accuracies of identical optimizers, shape [STUDIES, OPTIMIZERS, seeds].

    What seeds do to real accuracies: an effect of the split, which paired members share; a
    skewed one of the single training (half of them lose an exponential amount); the coarse grid
    of 360 test images. Failures come half from what the seed shares, half from the training.
    """
    r = rng(8, "calibration", seeds, int(paired), round(100 * failures))
    own = (STUDIES, OPTIMIZERS, seeds)
    shared = (STUDIES, 1, seeds) if paired else own
    slip = r.exponential(0.006, own) * (r.random(own) < 0.5)
    chance = np.clip(0.965 + r.normal(0, 0.008, shared) - slip, 0, 1)
    failed = (r.random(own) < failures / 2) | (
        (r.random(shared) < failures) & (r.random(own) < 0.5)
    )
    return np.where(failed, np.nan, r.binomial(IMAGES, chance) / IMAGES)


@cache
def compared(seeds: int, paired: bool, failures: float) -> list[list[Pair]]:
    return [
        compare_pairs(dict(zip("abcdefgh", study, strict=True)), "max", None)
        for study in accuracies(seeds, paired=paired, failures=failures)
    ]


def exceeds(claims: int, studies: int, share: float = 0.05) -> bool:
    """Whether so many claims show, at the 1 % level, a rate above ``share``."""
    return stats.binomtest(claims, studies, share, alternative="greater").pvalue < 0.01


def claims(studies: list[list[Pair]]) -> int:
    return sum(any(p.verdict in ("better", "worse") for p in pairs) for pairs in studies)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "disjoint"])
@pytest.mark.parametrize(("seeds", "failures"), [(20, 0.0), (20, 0.1), (5, 0.0), (3, 0.0)])
def test_identical_optimizers_are_told_apart_in_five_percent_of_studies(seeds, failures, paired):
    assert not exceeds(claims(compared(seeds, paired, failures)), STUDIES)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "disjoint"])
def test_the_error_allowed_is_used(paired):
    """Not calibrated by never claiming anything: more than 2 % of the studies do."""
    found = claims(compared(20, paired, 0.0))
    assert stats.binomtest(found, STUDIES, 0.02, alternative="greater").pvalue < 0.01


def test_the_bound_refuses_t_tests_without_correction():
    uncorrected = sum(any(p.p <= 0.05 for p in pairs) for pairs in compared(20, True, 0.0))
    assert exceeds(uncorrected, STUDIES)


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_bound_refuses_the_percentile_bootstrap(seeds):
    """The design's reason for the t interval, for a single pair of optimizers."""
    scores = accuracies(seeds, paired=True)
    gaps = scores[:, 0] - scores[:, 1]
    picks = rng(8, "bootstrap", seeds).integers(seeds, size=(1000, seeds))
    means = gaps[:, picks].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert exceeds(int(((low > 0) | (high < 0)).sum()), STUDIES)


def test_the_bound_refuses_certainty_from_equal_differences():
    """With two seeds and 360 images, equal differences are common among identical optimizers."""
    scores = accuracies(2, paired=True)
    first, second = np.triu_indices(OPTIMIZERS, 1)
    hits = np.rint(IMAGES * (scores[:, first] - scores[:, second]))
    constant = (hits[..., 0] == hits[..., 1]) & (hits[..., 0] != 0)
    assert exceeds(int(constant.any(axis=1).sum()), STUDIES)
    assert not exceeds(claims(compared(2, True, 0.0)), STUDIES)


def test_failures_alone_are_claimed_no_more_often_than_allowed():
    """Where trainings fail often but never differ otherwise, only the sign test can claim."""
    r = rng(8, "failures")
    failed = r.random((STUDIES, OPTIMIZERS, 20)) < 0.5
    scores = np.where(failed, np.nan, 0.9)
    found = sum(
        any(p.verdict != "undecided" for p in compare_pairs(dict(enumerate(s)), "max", None))
        for s in scores
    )
    assert not exceeds(found, STUDIES)


@pytest.mark.parametrize(("seeds", "effect"), [(20, 0.7), (5, 1.5), (10, 0.5)])
def test_power_is_that_of_the_noncentral_t(seeds, effect):
    freedom = seeds - 1
    critical = stats.t.ppf(0.975, freedom)
    shifted = stats.nct(freedom, effect * np.sqrt(seeds))
    wins = shares_of_claims(seeds, effect)
    assert stats.binomtest(wins["better"], STUDIES, shifted.sf(critical)).pvalue > 0.01
    assert stats.binomtest(wins["worse"], STUDIES, shifted.cdf(-critical)).pvalue > 0.01


def shares_of_claims(seeds: int, effect: float) -> dict[str, int]:
    """Count verdicts on a true difference of ``effect`` standard deviations of differences."""
    r = rng(8, "power", seeds)
    split = r.normal(0, 3, (STUDIES, seeds))  # shared by the pair, so it must not matter
    noise = r.normal(0, np.sqrt(0.5), (2, STUDIES, seeds))
    a, b = 70 + effect + split + noise[0], 70 + split + noise[1]
    found = {"better": 0, "worse": 0, "undecided": 0}
    for study in zip(a, b, strict=True):
        (pair,) = compare_pairs(dict(zip("ab", study, strict=True)), "max", None)
        found[pair.verdict] += 1
    return found


@pytest.mark.parametrize("effect", [1.2, 0.6])
def test_so_many_seeds_as_are_called_needed_decide_with_power_eighty_percent(effect):
    """A study with exactly this mean and spread is undecided; its number of seeds is then run."""
    seeds = 4
    gaps = stats.zscore(np.arange(seeds), ddof=1) + effect
    (pair,) = compare_pairs({"a": gaps, "b": np.zeros(seeds)}, "max", None)
    assert pair.verdict == "undecided"
    wins = shares_of_claims(pair.seeds_needed, effect)["better"]
    assert not exceeds(STUDIES - wins, STUDIES, 0.2)
    fewer = shares_of_claims(round(0.8 * pair.seeds_needed), effect)["better"]
    assert exceeds(STUDIES - fewer, STUDIES, 0.2)
