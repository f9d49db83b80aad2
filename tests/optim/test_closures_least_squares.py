"""Levenberg-Marquardt against SciPy's MINPACK and a plain reading of Algorithm 3.16."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from ravine.optim._levenberg_marquardt import LevenbergMarquardt

F64 = torch.float64
X = np.linspace(0, 4, 30)
Y = 2.5 * np.exp(-1.3 * X) + 0.5 + 0.05 * np.sin(50 * X)


def decay(p):
    return p[0] * np.exp(-p[1] * X) + p[2] - Y


def decay_jacobian(p):
    fall = np.exp(-p[1] * X)
    return np.stack([fall, -p[0] * X * fall, np.ones_like(X)], axis=1)


def decay_of(weight):
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    return lambda: weight[0] * torch.exp(-weight[1] * x) + weight[2] - y


def rosenbrock(p):
    return np.array([10 * (p[1] - p[0] ** 2), 1 - p[0]])


def rosenbrock_of(weight):
    return lambda: torch.stack([10 * (weight[1] - weight[0] ** 2), 1 - weight[0]])


PROBLEMS = [(decay, decay_of, [1.0, 1.0, 0.0]), (rosenbrock, rosenbrock_of, [-1.2, 1.0])]


@pytest.mark.parametrize("tau", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize(("plain", "ours", "start"), PROBLEMS)
def test_minima_are_scipys(plain, ours, start, tau):
    weight = nn.Parameter(torch.tensor(start, dtype=F64))
    optimizer = LevenbergMarquardt([weight], tau=tau)
    for _ in range(60):
        optimizer.step(ours(weight))
    found = scipy.optimize.least_squares(plain, start, method="lm", xtol=1e-15, ftol=1e-15)
    np.testing.assert_allclose(weight.detach().numpy(), found.x, rtol=0, atol=1e-7)
    assert np.isfinite(optimizer.state[weight]["damping"])  # rounding at the minimum damps nothing


def by_the_book(start, tau, steps):
    """Algorithm 3.16 with normal equations, on the decaying exponential."""
    w = np.array(start)
    a = decay_jacobian(w).T @ decay_jacobian(w)
    mu, nu, accepted = tau * a.diagonal().max(), 2.0, []
    while len(accepted) < steps:
        j, r = decay_jacobian(w), decay(w)
        g = j.T @ r
        h = np.linalg.solve(j.T @ j + mu * np.eye(3), -g)
        share = (r @ r - decay(w + h) @ decay(w + h)) / 2 / (h @ (mu * h - g) / 2)
        if share > 0:
            w, nu, mu = w + h, 2.0, mu * max(1 / 3, 1 - (2 * share - 1) ** 3)
            accepted.append((w.copy(), mu))
        else:
            mu, nu = mu * nu, nu * 2
    return accepted


@pytest.mark.parametrize("tau", [1e-3, 1.0])
@pytest.mark.parametrize("start", [[1.0, 1.0, 0.0], [-3.0, 0.1, 4.0]])
def test_damping_and_steps_follow_the_algorithm(start, tau):
    weight = nn.Parameter(torch.tensor(start, dtype=F64))
    optimizer = LevenbergMarquardt([weight], tau=tau)
    for expected, damping in by_the_book(start, tau, 4):
        before = decay(weight.detach().numpy())
        loss = optimizer.step(decay_of(weight))
        assert loss.item() == pytest.approx(before @ before / 2, rel=1e-13)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=1e-9)
        assert optimizer.state[weight]["damping"] == pytest.approx(damping, rel=1e-6)


def test_linear_least_squares_in_one_step():
    rng = np.random.default_rng(0)
    matrix, target = rng.normal(size=(20, 6)), rng.normal(size=20)
    pieces = [nn.Parameter(torch.zeros(2, 2, dtype=F64)), nn.Parameter(torch.zeros(2, dtype=F64))]
    optimizer = LevenbergMarquardt(pieces, tau=1e-14)

    def residuals():
        flat = torch.cat([p.flatten() for p in pieces])
        return (torch.from_numpy(matrix) @ flat - torch.from_numpy(target)).reshape(4, 5)

    optimizer.step(residuals)
    found = torch.cat([p.detach().flatten() for p in pieces]).numpy()
    expected = np.linalg.lstsq(matrix, target, rcond=None)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_a_network_with_frozen_and_unused_parameters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).to(F64)
    model[0].bias.requires_grad_(False)
    unused = nn.Parameter(torch.ones(2, dtype=F64))
    before = model[0].bias.detach().clone()
    x = torch.linspace(-2, 2, 40, dtype=F64)[:, None]
    optimizer = LevenbergMarquardt([*model.parameters(), unused])
    losses = [optimizer.step(lambda: model(x) - torch.sin(2 * x)).item() for _ in range(100)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-2 * losses[0]
    assert torch.equal(model[0].bias, before)
    assert torch.equal(unused, torch.ones(2, dtype=F64))


def test_misuse_is_named():
    weight = nn.Parameter(torch.ones(3))
    optimizer = LevenbergMarquardt([weight])

    def backward():
        residuals = weight.square()
        residuals.sum().backward()
        return residuals

    with pytest.raises(RuntimeError, match=r"closure must not call backward\(\)"):
        optimizer.step(backward)
    with pytest.raises(RuntimeError, match="must return a tensor of residuals, got float"):
        optimizer.step(lambda: 1.0)
    with pytest.raises(RuntimeError, match="at least 1 residual, got an empty tensor"):
        optimizer.step(lambda: weight[:0])
    with pytest.raises(RuntimeError, match="residuals must be finite where a step begins"):
        optimizer.step(lambda: weight * float("inf"))
    with pytest.raises(RuntimeError, match="must return a tensor that depends on the parameters"):
        optimizer.step(weight.detach)
    with pytest.raises(ValueError, match="max_parameters=2 of them, got 3; use LBFGS"):
        LevenbergMarquardt([weight], max_parameters=2)
    with pytest.raises(ValueError, match="tau must be > 0, got 0"):
        LevenbergMarquardt([weight], tau=0.0)
