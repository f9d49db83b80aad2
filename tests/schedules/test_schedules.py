"""The schedules against torch's schedulers, step by step."""

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR

from ravine.core.errors import SettingError
from ravine.schedules import SCHEDULES, constant, cosine, get_schedule, linear

THEIRS = {
    "constant": lambda optimizer, total: LambdaLR(optimizer, lambda step: 1.0),
    "linear": lambda optimizer, total: LinearLR(optimizer, 1.0, 0.0, total_iters=total),
    "cosine": CosineAnnealingLR,
}


def _rates(name, lr, total):
    """Return the rates at which torch makes steps 0..total-1, and the one after them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = THEIRS[name](optimizer, total)
    rates = []
    for _ in range(total + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def test_every_schedule_is_compared():
    assert SCHEDULES.keys() == THEIRS.keys()


@pytest.mark.parametrize("total", [1, 2, 7, 850])
@pytest.mark.parametrize("lr", [1e-4, 0.3, 10.0])
@pytest.mark.parametrize("name", THEIRS)
def test_rates_are_those_of_torch(name, lr, total):
    ours = [float(get_schedule(name)(step, total, {"lr": lr})["lr"]) for step in range(total + 1)]
    np.testing.assert_allclose(ours, _rates(name, lr, total), rtol=0, atol=1e-12 * lr)


@pytest.mark.parametrize("name", THEIRS)
def test_many_steps_of_many_members_at_once(name):
    steps, rates = np.arange(40)[:, None] + np.array([0, 3, 10]), np.array([0.1, 1.0, 0.01])
    table = get_schedule(name)(steps, 50, {"lr": rates})["lr"]
    assert table.shape == steps.shape
    for row, column in ((0, 0), (7, 1), (39, 2)):
        step, lr = int(steps[row, column]), float(rates[column])
        assert table[row, column] == get_schedule(name)(step, 50, {"lr": lr})["lr"]


@pytest.mark.parametrize("schedule", [linear, cosine])
def test_the_rate_falls_from_its_base_to_nothing(schedule):
    rates = schedule(np.arange(101), 100, {"lr": 0.5})["lr"]
    assert rates[0] == 0.5
    assert (np.diff(rates) < 0).all()
    assert rates[50] == pytest.approx(0.25, rel=1e-15)
    assert abs(rates[100]) < 1e-16


def test_only_the_rate_changes():
    base = {"lr": 0.1, "momentum": 0.9}
    for schedule in (constant, linear, cosine):
        assert schedule(3, 10, base).keys() == {"lr"}
    assert base == {"lr": 0.1, "momentum": 0.9}


@pytest.mark.parametrize("name", ["cosin", "Cosine", "", None, 3, ["cosine"]])
def test_unknown_schedule(name):
    with pytest.raises(SettingError, match=r"unknown schedule .*Known: constant, cosine, linear"):
        get_schedule(name)
