"""Widths against closed forms; borders and extra rates against the protocol's words."""

from math import inf, isnan, log10, nan

import numpy as np
import pytest

from ravine.core.errors import SettingError
from ravine.studies.protocol import rate_grid
from ravine.studies.sensitivity import border_optimizers, extra_rates, range_width

GRID = np.geomspace(1e-4, 10, 12).tolist()


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize("slopes", [(0.5, 2.0), (0.05, 0.3)])
def test_width_of_a_peak_with_straight_sides_is_exact(slopes, direction):
    """The score falls by ``slope`` per decade, so 1 % of 3 is lost after 0.03 / slope decades."""
    log = np.linspace(-4, 1, 11)
    fall = np.where(log < -1, slopes[0], slopes[1]) * np.abs(log + 1)
    scores = 3 - fall if direction == "max" else 3 + fall
    expected = 0.03 / slopes[0] + 0.03 / slopes[1]
    order = np.argsort(np.sin(np.arange(11)))  # the order of the rates is free
    width = range_width((10**log)[order].tolist(), scores[order].tolist(), direction)
    assert width == pytest.approx(expected, rel=1e-9)
    assert range_width((10**log).tolist(), scores, direction, 0.0) == pytest.approx(0, abs=1e-12)


def test_width_counts_only_the_range_round_the_best():
    rates, scores = [1e-3, 1e-2, 1e-1, 1.0, 10.0], [0.999, 0.5, 1.0, 0.999, 0.998]
    beside = (1.0 - 0.99) / (1.0 - 0.5)
    assert range_width(rates, scores, "max") == pytest.approx(2 + beside)


def test_width_ends_at_the_last_rate_that_trained_and_at_the_ends_of_the_grid():
    rates = [0.01, 0.1, 1.0, 4.0]
    assert range_width(rates, [nan, 0.9, 0.9, inf], "max") == pytest.approx(1.0)
    assert range_width(rates, [0.9, 0.9, 0.9, 0.9], "min") == pytest.approx(log10(400))
    assert range_width(rates, [nan, nan, 0.9, nan], "max") == 0.0
    assert isnan(range_width(rates, [nan] * 4, "max"))


def test_width_of_a_negative_score_is_relative_to_its_size():
    """A log-likelihood of -2 tolerates 0.02, downwards."""
    assert range_width([0.1, 1.0], [-2.0, -2.04], "max") == pytest.approx(0.5)


def test_borders_are_a_tenth_of_the_log_range_at_each_end():
    """Of 12 rates the outer two at each end: the second lies 1/11 of the range inside."""
    bests = {f"rate {i}": rate for i, rate in enumerate(GRID)}
    assert border_optimizers(bests, GRID) == {
        "rate 0": "low",
        "rate 1": "low",
        "rate 10": "high",
        "rate 11": "high",
    }
    assert border_optimizers({"a": 1e-5, "b": 100.0, "c": 0.03}, GRID) == {"a": "low", "b": "high"}
    assert border_optimizers({}, GRID) == {}


@pytest.mark.parametrize(
    ("side", "start", "step"), [("high", 10.0, 5 / 11), ("low", 1e-4, -5 / 11)]
)
def test_extra_rates_continue_the_grid_outwards(side, start, step):
    rates = extra_rates(0.1, GRID[::-1], side, 4)
    assert rates == pytest.approx([start * 10 ** (step * k) for k in range(1, 5)])


@pytest.mark.parametrize(("side", "start", "sign"), [("high", 10.0, 1), ("low", 1e-4, -1)])
def test_a_coarse_grid_continues_in_the_steps_of_the_default_one(side, start, sign):
    fine = rate_grid(12)[-1] / rate_grid(12)[-2]
    rates = extra_rates(0.1, rate_grid(2), side, 4)
    assert rates == pytest.approx([start * fine ** (sign * k) for k in range(1, 5)], rel=1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_extra_rates_surround_the_best_and_repeat_none(count):
    best = GRID[5]
    rates = extra_rates(best, GRID, None, count)
    assert len(rates) == count == len({*rates} - {*GRID})
    assert rates == sorted(rates)
    assert all(GRID[4] < rate < GRID[6] for rate in rates)
    below = [rate for rate in rates if rate < best]
    assert len(below) == count // 2
    for side, low, high in ((below, GRID[4], best), (rates[count // 2 :], best, GRID[6])):
        gaps = np.diff(np.log([low, *side, high]))
        assert gaps == pytest.approx(np.full(len(gaps), gaps.mean()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: range_width([0.1], [0.5, 0.5], "max"), "scores must be one per rate: 1, got 2"),
        (lambda: range_width([0.1, 0.1], [0.5, 0.5], "max"), "rates must not repeat"),
        (lambda: range_width([0.0], [0.5], "max"), "rates must be > 0"),
        (lambda: range_width([0.1], [0.5], "max", -0.1), "within must be >= 0, got -0.1"),
        (lambda: range_width([0.1], [0.5], "up"), "unknown direction 'up'"),
        (lambda: border_optimizers({"a": nan}, GRID), "best_rates must be > 0"),
        (lambda: border_optimizers({}, [0.1, 0.1]), "two different rates or more"),
        (lambda: extra_rates(0.1, [-1.0, 1.0], "low", 1), "grid must be > 0"),
        (lambda: extra_rates(0.1, GRID, None, -1), "count must be >= 0, got -1"),
        (lambda: extra_rates(10.0, GRID, None, 2), "between the ends of the grid, 0.0001 and 10"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(SettingError, match=message):
        call()
