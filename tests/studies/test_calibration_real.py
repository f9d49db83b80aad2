"""Protocol point 8 with real noise: copies of one optimizer, trained on disjoint seed pools."""

from functools import cache

import numpy as np
from scipy import stats

from ravine.core.seeding import rng
from ravine.population import Member, Population
from ravine.problems import Problem
from ravine.rules import get_rule
from ravine.studies.statistics import compare_pairs

COPIES, SEEDS, STUDIES = 8, 20, 600
POOL = 5 * COPIES * SEEDS


@cache
def scores() -> np.ndarray:
    """Return the test accuracy of one optimizer at one setting for many seeds."""
    problem = Problem("linear", "digits")
    population = Population(problem, epochs=4, states=0)
    rule = get_rule("sgd")
    members = [Member(seed, "sgd", rule, {"lr": 0.3}, seed) for seed in range(POOL)]
    outcomes = [o for p in population.run(members, test=True) for o in p.finished]
    assert all(o.status == "ok" for o in outcomes)
    return np.array([o.test_score for o in sorted(outcomes, key=lambda o: o.member.id)])


def studies() -> np.ndarray:
    """Return studies of copies on disjoint pools, drawn from the seeds: [STUDIES, COPIES, SEEDS].

    The studies share the seeds of one large pool; within a study no seed stands twice.
    """
    draw = rng(8, "pools")
    rows = [draw.permutation(POOL)[: COPIES * SEEDS] for _ in range(STUDIES)]
    return scores()[np.array(rows)].reshape(STUDIES, COPIES, SEEDS)


def claims(share_of_test: float = 0.0) -> int:
    """Count studies that claim a difference, with the first copy made better by some points."""
    found = 0
    for study in studies():
        shifted = study + share_of_test * (np.arange(COPIES) == 0)[:, None]
        pairs = compare_pairs(dict(zip("abcdefgh", shifted, strict=True)), "max", None)
        found += any(pair.verdict in ("better", "worse") for pair in pairs)
    return found


def test_seeds_differ_as_real_trainings_do():
    assert 0.005 < scores().std() < 0.05
    assert len(set(scores())) > 20


def test_copies_on_disjoint_seeds_are_told_apart_in_five_percent_of_studies():
    assert stats.binomtest(claims(), STUDIES, 0.05, alternative="greater").pvalue > 0.01


def test_a_real_difference_of_two_standard_deviations_is_found():
    assert claims(2 * scores().std()) > 0.95 * STUDIES
