"""Protocol point 8 with real noise: copies of one optimizer, trained on disjoint seeds.

No training stands in two studies, so the claims of different studies are independent and their
number has a binomial bound. Few studies bound little: a false-claim rate must reach a third
before the every-day test fails in 95 of 100 draws of seeds. The nightly one, of ten times as many
studies, fails in 77 of 100 at a rate of 10 %.
"""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from ravine.population import Member, Population
from ravine.problems import Problem
from ravine.rules import get_rule
from ravine.studies.statistics import compare_pairs

COPIES, SEEDS = 8, 20
EVERY_DAY, NIGHTLY = 25, 250  # studies
MISTAKEN = 0.01  # chance that a bound below fails although the claim holds


@cache
def scores(studies: int) -> np.ndarray:
    """Return the test accuracy of one optimizer at one setting, [studies, COPIES, SEEDS]."""
    population = Population(Problem("linear", "digits"), epochs=1, states=0)
    rule = get_rule("sgd")
    count = studies * COPIES * SEEDS
    members = [Member(seed, "sgd", rule, {"lr": 0.3}, seed) for seed in range(count)]
    outcomes = [o for p in population.run(members, test=True) for o in p.finished]
    assert all(o.status == "ok" for o in outcomes)
    by_seed = sorted(outcomes, key=lambda o: o.member.seed)
    return np.array([o.test_score for o in by_seed]).reshape(studies, COPIES, SEEDS)


def claims(studies: int, gain: float = 0.0) -> int:
    """Count studies that claim a difference, with the first copy made better by ``gain``."""
    found = 0
    for study in scores(studies):
        shifted = study + gain * (np.arange(COPIES) == 0)[:, None]
        pairs = compare_pairs(dict(zip("abcdefgh", shifted, strict=True)), "max", None)
        found += any(pair.verdict in ("better", "worse") for pair in pairs)
    return found


def most_claims(studies: int) -> int:
    """Return the least k for which more than k claims at 5 % are rarer than ``MISTAKEN``."""
    return int(stats.binom.isf(MISTAKEN, studies, 0.05))


def test_seeds_differ_as_real_trainings_do():
    assert 0.005 < scores(EVERY_DAY).std() < 0.05
    assert len(np.unique(scores(EVERY_DAY))) > 100


@pytest.mark.parametrize("studies", [EVERY_DAY, pytest.param(NIGHTLY, marks=pytest.mark.nightly)])
def test_copies_on_disjoint_seeds_are_told_apart_in_five_percent_of_studies(studies):
    assert claims(studies) <= most_claims(studies)


def test_a_real_difference_of_two_standard_deviations_is_found():
    assert claims(EVERY_DAY, 2 * scores(EVERY_DAY).std()) > 0.95 * EVERY_DAY
