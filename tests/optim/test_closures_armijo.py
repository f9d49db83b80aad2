"""Backtracking equals the same done by hand, and every step keeps Armijo's inequality."""

import numpy as np
import pytest
import torch
from torch import nn

from ravine.optim._armijo import ArmijoGradientDescent

F64 = torch.float64
CURVATURES = np.array([1.0, 30.0, 4.0])


def quadratic():
    weight = nn.Parameter(torch.tensor([3.0, -2.0, 1.0], dtype=F64))
    return weight, lambda: (weight.square() * torch.from_numpy(CURVATURES)).sum() / 2


def step_of(optimizer, loss_of):
    def closure():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    return optimizer.step(closure)


def backtracked(w, rate, c1, shrink):
    """Return the next weights, the rate taken and the number of trials, by hand."""
    grad = CURVATURES * w
    loss = (CURVATURES * w**2).sum() / 2
    trials = 1
    while True:
        new = w - rate * grad
        if (CURVATURES * new**2).sum() / 2 <= loss - c1 * rate * (grad**2).sum():
            return new, rate, trials
        rate, trials = rate * shrink, trials + 1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lr": 100.0, "c1": 0.5, "shrink": 0.9, "expand": 1.0, "max_trials": 99},
        {"lr": 0.01, "c1": 1e-3, "shrink": 0.3, "expand": 5.0},
    ],
)
def test_100_steps_equal_backtracking_by_hand(settings):
    asked = {"lr": 1.0, "c1": 1e-4, "shrink": 0.5, "expand": 2.0} | settings
    weight, loss_of = quadratic()
    optimizer = ArmijoGradientDescent([weight], **settings)
    w, rate, evaluations = weight.detach().numpy().copy(), asked["lr"], 0
    for _ in range(100):
        before = loss_of().item()
        assert step_of(optimizer, loss_of).item() == before
        w, rate, trials = backtracked(w, rate, asked["c1"], asked["shrink"])
        evaluations += 1 + trials
        state = optimizer.state[weight]
        assert state["step_size"] == pytest.approx(rate, rel=1e-13)
        assert state["func_evals"] == evaluations
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=0, atol=1e-12)
        rate = state["step_size"] * asked["expand"]


def test_every_step_on_a_network_keeps_the_inequality():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).to(F64)
    x, y = torch.randn(20, 3, dtype=F64), torch.randn(20, 1, dtype=F64)
    optimizer = ArmijoGradientDescent(model.parameters(), lr=50.0, c1=0.3)

    def loss_of():
        return (model(x) - y).square().mean()

    for _ in range(50):
        before = loss_of()
        grads = torch.autograd.grad(before, list(model.parameters()))
        square = sum(g.square().sum().item() for g in grads)
        step_of(optimizer, loss_of)
        rate = optimizer.state_dict()["state"][0]["step_size"]
        assert loss_of().item() <= before.item() - 0.3 * rate * square + 1e-15


def test_a_trial_that_is_not_finite_is_too_high():
    weight = nn.Parameter(torch.tensor([1.0], dtype=F64))
    optimizer = ArmijoGradientDescent([weight], lr=64.0)
    for _ in range(60):
        step_of(optimizer, lambda: (weight - torch.log(weight)).sum() * 10)
        assert weight.item() > 0
    weight.data.fill_(0.1)
    step_of(optimizer, lambda: (weight - torch.log(weight)).sum() * 10)
    assert 0.1 < weight.item() < 10


def test_at_a_minimum_and_when_no_trial_is_good_the_weights_stay():
    weight, loss_of = quadratic()
    weight.data.zero_()
    optimizer = ArmijoGradientDescent([weight])
    step_of(optimizer, loss_of)
    assert torch.equal(weight, torch.zeros(3, dtype=F64))
    weight, loss_of = quadratic()
    start = weight.detach().clone()
    optimizer = ArmijoGradientDescent([weight], lr=100.0, max_trials=3)
    step_of(optimizer, loss_of)
    assert torch.equal(weight, start)
    assert "step_size" not in optimizer.state[weight]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": 0.0}, "lr must be > 0, got 0"),
        ({"c1": 1.0}, r"c1 must be in \(0, 1\), got 1"),
        ({"shrink": 1.0}, r"shrink must be in \(0, 1\), got 1"),
        ({"expand": 0.5}, "expand must be >= 1, got 0.5"),
        ({"max_trials": 0}, "max_trials must be an integer >= 1, got 0"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        ArmijoGradientDescent([nn.Parameter(torch.zeros(2))], **settings)
