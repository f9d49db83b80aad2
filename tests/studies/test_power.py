"""Power against numerical integration; seeds needed against a search one by one."""

import numpy as np
import pytest
from scipy import stats

from ravine.studies.power import MOST_SEEDS, power
from ravine.studies.statistics import compare_pairs


@pytest.mark.parametrize("level", [0.05, 0.05 / 28])
@pytest.mark.parametrize(
    ("seeds", "effect"),
    [(2, 5.0), (2, 900.0), (5, 0.0), (20, 0.7), (20, 30.0), (8000, 0.03), (8000, 5.0)],
)
def test_power_is_the_integral_over_the_spread(seeds, effect, level):
    """Given the spread u = sd / sigma, the t statistic exceeds c if Z > c u - effect sqrt(n)."""
    critical = stats.t.isf(level / 2, seeds - 1)
    shares = (np.arange(100_000) + 0.5) / 100_000
    spread = np.sqrt(stats.chi2.ppf(shares, seeds - 1) / (seeds - 1))
    expected = stats.norm.sf(critical * spread - effect * np.sqrt(seeds)).mean()
    assert power(seeds, effect, level) == pytest.approx(expected, abs=1e-4)


def test_power_is_a_number_also_where_scipys_noncentral_t_is_not():
    """`scipy.special.nctdtr` of SciPy 1.17 is NaN at some of these."""
    seeds, effect = np.arange(4000, 6000, 10.0), np.linspace(0.4, 0.7, 100)[:, None]
    assert power(seeds, effect, 0.05) == pytest.approx(np.ones((100, 200)), abs=1e-4)


def sample(effect: float, seeds: int = 20) -> dict[str, np.ndarray]:
    """Return scores of a and b whose differences have standard deviation 1 and this mean."""
    gaps = stats.zscore(np.arange(float(seeds)), ddof=1) + effect
    return {"a": gaps, "b": np.zeros(seeds)}


def plain_seeds_needed(effect: float, level: float, margin: float) -> int:
    """Count seeds up, one by one, until the pair is decided."""
    for n in range(2, 3000):
        critical = stats.t.isf(level / 2, n - 1)
        claimed = stats.nct.sf(critical, n - 1, effect * np.sqrt(n)) >= 0.8
        inside = effect + stats.t.isf(0.025, n - 1) / np.sqrt(n) < margin
        if claimed or inside:
            return n
    raise AssertionError("not decided by 3000 seeds")


@pytest.mark.parametrize(
    ("effect", "margin"), [(0.4, None), (0.1, None), (0.1, 0.3), (0.1, 0.15), (0.0, 0.2)]
)
def test_seeds_needed_is_the_first_number_that_decides(effect, margin):
    (pair,) = compare_pairs(sample(effect), "max", margin)
    assert pair.verdict == "undecided"
    assert pair.seeds_needed == plain_seeds_needed(effect, 0.05, margin or 0.0)


def test_seeds_needed_uses_the_level_at_which_holm_tests_the_pair():
    """a and b are far above c and d, which leaves two pairs, tested at 0.05 / 2 and 0.05."""
    scores = sample(0.4)
    scores["c"], scores["d"] = scores["b"] - 100, scores["b"] - 100.1 + 0.3 * scores["a"][::-1]
    pairs = {(p.a, p.b): p for p in compare_pairs(scores, "max", None)}
    open_ = sorted((p for p in pairs.values() if p.verdict == "undecided"), key=lambda p: p.p)
    assert [(p.a, p.b) for p in open_] == [("a", "b"), ("c", "d")]
    for pair, level in zip(open_, (0.025, 0.05), strict=True):
        gaps = scores[pair.a] - scores[pair.b]
        effect = abs(gaps.mean()) / gaps.std(ddof=1)
        assert pair.seeds_needed == plain_seeds_needed(effect, level, 0.0)


def test_seeds_needed_grow_with_the_share_that_fails_on_both_sides():
    scores = sample(0.2, seeds=10)
    needed = compare_pairs(scores, "max", None)[0].seeds_needed
    padded = {name: np.append(values, [np.nan] * 10) for name, values in scores.items()}
    assert compare_pairs(padded, "max", None)[0].seeds_needed == 2 * needed


@pytest.mark.parametrize(("effect", "margin"), [(0.0, None), (0.001, None), (1e-9, 1e-4)])
def test_no_number_is_named_where_no_sensible_one_decides(effect, margin):
    (pair,) = compare_pairs(sample(effect), "max", margin)
    assert (pair.verdict, pair.seeds_needed) == ("undecided", None)
    assert power(MOST_SEEDS, effect, 0.05) < 0.8
