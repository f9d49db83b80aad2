"""Suggestions from made-up losses whose best rate is known, and from real short trainings."""

import numpy as np
import pandas as pd
import pytest
import torch

from ravine.core.errors import SettingError
from ravine.problems import Data, Problem, named_problem
from ravine.problems._quadratic import hessian
from ravine.reports.learning_rate import LearningRates
from ravine.studies.contestants import contestants
from ravine.studies.learning_rate import RateOrder, run_rate_test
from ravine.studies.learning_rate_ramp import ramp
from ravine.studies.learning_rate_suggestion import NOTHING, suggest, suggest_from_ramp

RATES = np.geomspace(1e-4, 10, 21)  # four per decade


def losses(best, *, noise=0.0, seeds=5, seed=0):
    """Return parabolas in log(rate) around a rate, with noise of their own at every rate."""
    random = np.random.default_rng(seed)
    shape = (np.log10(RATES) - np.log10(best)) ** 2
    return shape[:, None] + 1 + noise * random.standard_normal((len(RATES), seeds))


@pytest.mark.parametrize("best", [0.01, 0.0123, 0.5, 3.3e-4])
def test_the_vertex_of_a_parabola_is_found_between_the_rates(best):
    found = suggest("sgd", RATES, losses(best), NOTHING).population
    assert found.lr == pytest.approx(best, rel=1e-9)
    assert found.holds(best)
    # Without noise the interval ends half way to the neighbours: an eighth of a decade.
    assert np.log10(found.high / found.low) == pytest.approx(0.25)


def test_the_interval_grows_with_the_noise_and_holds_the_best_rate():
    quiet, loud = (
        [suggest("sgd", RATES, losses(0.02, noise=noise, seed=s), NOTHING) for s in range(200)]
        for noise in (0.05, 0.5)
    )
    widths = [
        np.median([np.log10(s.population.high / s.population.low) for s in some])
        for some in (quiet, loud)
    ]
    assert widths[1] > 1.5 * widths[0]
    for some in (quiet, loud):
        # A one-sided test at 95 % against a lowest mean chosen by luck: four deviations below.
        assert sum(s.population.holds(0.02) for s in some) >= 178


def test_a_rate_that_fails_on_one_seed_ends_the_interval():
    table = losses(0.1, noise=5.0)
    above = int(np.searchsorted(RATES, 0.2))
    table[:above] = 1.0
    table[above:, 2] = np.inf
    found = suggest("sgd", RATES, table, NOTHING).population
    assert found.high == pytest.approx(np.sqrt(RATES[above - 1] * RATES[above]))


def test_a_best_rate_at_the_end_is_noted_and_not_moved():
    assert "try lower" in suggest("sgd", RATES, losses(1e-6), NOTHING).note
    high = suggest("sgd", RATES, losses(1e3), NOTHING)
    assert "try higher" in high.note
    assert high.population.lr == pytest.approx(10.0)


def test_where_everything_diverges_nothing_is_suggested():
    found = suggest("sgd", RATES, np.full((21, 3), np.inf), NOTHING)
    assert np.isnan(found.population.lr)
    assert "lower them" in found.note


def fallen(at, width=0.5, steps=200):
    """Return a smooth ramp that falls fastest at a rate."""
    lr = np.geomspace(1e-5, 10, steps)
    smooth = 2 - np.tanh((np.log10(lr) - np.log10(at)) / width) + np.exp((np.log10(lr) - 0.5) * 8)
    return pd.DataFrame({"lr": lr, "smooth": smooth})


def test_the_steepest_point_of_a_ramp_is_found_with_an_interval_over_seeds():
    found = suggest_from_ramp([fallen(at) for at in (0.008, 0.01, 0.0125)])
    assert found.lr == pytest.approx(0.01, rel=0.05)
    logs = np.log10([0.008, 0.01, 0.0125])
    half = 4.302653 * logs.std(ddof=1) / np.sqrt(3)  # t of two degrees of freedom
    assert np.log10(found.high / found.lr) == pytest.approx(half, rel=0.2)


def test_a_ramp_that_never_falls_suggests_nothing():
    rising = fallen(0.01).assign(smooth=np.linspace(1, 2, 200))
    assert np.isnan(suggest_from_ramp([rising]).lr)
    # A seed that shows nothing is left out.
    both = suggest_from_ramp([rising, fallen(0.01)])
    assert both.lr == pytest.approx(0.01, rel=0.05) and np.isnan(both.low)


def test_a_ramp_is_a_plain_loop_whose_rate_grows():
    problem = Problem("linear", "digits", loss="softmax")
    [one] = contestants(["momentum"], {"mu": 0.8})
    table = ramp(problem, [one], [4], 32, 60)
    model, split = problem.build(4), problem.split(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.8)
    order = np.concatenate([problem.order(4, epoch, 32) for epoch in range(3)])
    expected, mean = [], 0.0
    for step, lr in enumerate(np.geomspace(1e-5, 10, 60)[: len(table)], start=1):
        rows = torch.from_numpy(order[step - 1])
        x = ((problem.data.x[rows] - split.shift) * split.scale).float()
        loss = problem.loss(model(x), problem.data.y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        mean = 0.95 * mean + 0.05 * loss.item()
        expected.append((lr, loss.item(), mean / (1 - 0.95**step)))
    found = table[["lr", "loss", "smooth"]].to_numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert len(table) == 60


def bowl():
    """Return a one-step-solvable quadratic: all curvatures 4, so the best rate is 1/4."""
    x = torch.zeros(40, 3)
    return Problem(
        lambda shape, outputs: Weights(),
        Data("bowl", x, torch.zeros(40, 3), official_test=8),
        loss=lambda outputs, targets: 2 * ((outputs - targets) ** 2).sum(-1).mean(),
        batch=8,
        epochs=10,
        schedule="constant",
        normalise=False,
    )


class Weights(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x + self.w


def test_the_test_finds_the_rate_that_solves_a_bowl_at_once():
    rates = [0.25 * 2.0**k for k in range(-4, 3)]
    test = run_rate_test(RateOrder(bowl(), ["sgd"], rates=rates, seeds=3, epochs=1))
    [found] = test.suggestions
    ends = (found.population.low, found.population.high)
    assert ends == pytest.approx((0.25 / 2**0.5, 0.25 * 2**0.5))
    assert found.population.holds(found.population.lr)
    # w is multiplied by 1 - 4 lr at every step; the loss has three weights.
    own = test.trials.groupby("lr")["loss"].mean()
    for lr in rates[:5]:
        expected = 6 * (1 - 4 * lr) ** (2 * test.steps)
        assert own[lr] == pytest.approx(expected, rel=1e-4, abs=1e-12)


@pytest.fixture(scope="module")
def tested():
    order = RateOrder(
        named_problem("quadratic_deep"),
        ["sgd", "momentum"],
        rates=np.geomspace(1e-3, 1, 13),
        seeds=2,
        epochs=3,
    )
    return run_rate_test(order)


def test_suggestions_lie_below_the_rate_at_which_descent_is_unstable(tested):
    sharpness = np.linalg.eigvalsh(hessian())[-1]
    sgd, momentum = (s.population for s in tested.suggestions)
    assert sgd.lr < 2 / sharpness
    assert momentum.lr < 2 * 1.9 / sharpness
    over = tested.trials[(tested.trials["optimizer"] == "sgd") & (tested.trials["lr"] > 0.3)]
    under = tested.trials[(tested.trials["optimizer"] == "sgd") & (tested.trials["lr"] < 0.02)]
    assert over["loss"].min() > 100 * under["loss"].max()


def test_a_ramp_ends_where_the_loss_has_grown_fourfold(tested):
    for _, run in tested.ramps.groupby(["optimizer", "seed"]):
        lowest = run["smooth"].cummin()
        assert (run["smooth"] <= 4 * lowest).all()
        assert run["lr"].iloc[-1] < 1  # of 10: both are unstable long before


def test_the_result_is_drawn_and_tabled(tested):
    display = LearningRates(tested)
    table = display.frame()
    assert table["optimizer"].tolist() == ["sgd", "momentum"]
    assert (table["low"] <= table["lr"]).all() and (table["lr"] <= table["high"]).all()
    chart = display.plot()
    rings = [t for t in chart.data if t.marker.symbol == "circle-open"]
    assert [r.x[0] for r in rings] == pytest.approx(table["lr"].tolist())
    assert tested.loss == "training loss"  # quadratic_deep validates nothing


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 1}, "seeds must be an integer >= 2"),
        ({"rates": [0.1, 0.2]}, "at least 3"),
        ({"rates": [0.1, 0.2, -1]}, "numbers > 0"),
        ({"optimizers": ["sgdd"]}, "unknown optimizer 'sgdd'"),
        ({"epochs": 0}, "epochs must be an integer >= 1"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        run_rate_test(RateOrder(bowl(), **({"optimizers": ["sgd"]} | settings)))
