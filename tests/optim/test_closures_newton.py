"""Newton within a trust region: the model's minimum by its conditions, the loss's by SciPy."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from ravine.optim._trust_region import NewtonTrustRegion, model_minimum

F64 = torch.float64


def symmetric(rng, size, kind):
    a = rng.normal(size=(size, size))
    matrix = a @ a.T if kind == "definite" else (a + a.T) / 2
    if kind == "singular":
        values, vectors = np.linalg.eigh(a @ a.T)
        values[0] = 0
        matrix = vectors @ np.diag(values) @ vectors.T
    return torch.from_numpy(matrix)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("radius", [1e-3, 0.5, 20.0])
@pytest.mark.parametrize("kind", ["definite", "indefinite", "singular"])
@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_model_minimum_fulfils_its_conditions(size, kind, radius, hard):
    """Moré & Sorensen: (H + shift) p = -g, shift >= 0, H + shift >= 0, shift (radius - |p|) = 0.

    Hard: no gradient along the lowest eigenvector, where saddles trap other methods.
    """
    rng = np.random.default_rng(size)
    hessian, grad = symmetric(rng, size, kind), torch.from_numpy(rng.normal(size=size))
    lowest = torch.linalg.eigh(hessian)[1][:, 0]
    if hard:
        grad = grad - lowest * (lowest @ grad)
    p = model_minimum(grad, hessian, radius)
    rest = -(hessian @ p + grad)
    shift = float(rest @ p / (p @ p)) if bool(p.any()) else 0.0
    scale = 1 + float(hessian.norm()) * radius + float(grad.norm())
    assert (rest - shift * p).norm() <= 1e-9 * scale
    assert p.norm() <= radius * (1 + 1e-9)
    assert shift >= -1e-9 * scale
    assert torch.linalg.eigvalsh(hessian)[0] + shift >= -1e-9 * scale
    assert abs(shift) * (radius - p.norm()) <= 1e-9 * scale


def test_a_quadratic_takes_one_step():
    matrix = symmetric(np.random.default_rng(0), 6, "definite") + torch.eye(6, dtype=F64)
    target = torch.arange(6, dtype=F64)
    weight = nn.Parameter(torch.zeros(6, dtype=F64))
    optimizer = NewtonTrustRegion([weight], radius=100.0)
    optimizer.step(lambda: (weight - target) @ matrix @ (weight - target) / 2)
    assert torch.allclose(weight, target, rtol=0, atol=1e-12)


@pytest.mark.parametrize("start", [[-1.2, 1.0], [-1.2, 1.0, 0.5, 2.0], [2.0, -3.0, 1.0]])
def test_minima_of_rosenbrock_are_scipys(start):
    weight = nn.Parameter(torch.tensor(start, dtype=F64))
    optimizer = NewtonTrustRegion([weight])
    for _ in range(60):
        optimizer.step(
            lambda: torch.sum(100 * (weight[1:] - weight[:-1] ** 2) ** 2 + (1 - weight[:-1]) ** 2)
        )
    expected = scipy.optimize.minimize(
        scipy.optimize.rosen, start, jac=scipy.optimize.rosen_der, hess=scipy.optimize.rosen_hess,
        method="trust-exact", options={"gtol": 1e-10},
    ).x  # fmt: skip
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=1e-7)
    assert optimizer.state[weight]["radius"] > 0.01  # rounding at the minimum shrinks nothing


def by_the_book(start, radius, largest, eta, steps):
    """Algorithm 4.1 on the Rosenbrock function, with SciPy's derivatives."""
    w = np.array(start)
    f, df, ddf = scipy.optimize.rosen, scipy.optimize.rosen_der, scipy.optimize.rosen_hess
    accepted = []
    while len(accepted) < steps:
        g, h = df(w), ddf(w)
        p = model_minimum(torch.from_numpy(g), torch.from_numpy(h), radius).numpy()
        share = (f(w) - f(w + p)) / -(g @ p + p @ h @ p / 2)
        if share < 0.25:
            radius /= 4
        elif share > 0.75 and np.isclose(np.linalg.norm(p), radius, rtol=1e-8, atol=0):
            radius = min(2 * radius, largest)
        if share > eta:
            w = w + p
            accepted.append((w.copy(), radius))
    return accepted


@pytest.mark.parametrize(("radius", "largest", "eta"), [(1.0, 1000.0, 0.15), (0.1, 0.3, 0.0)])
def test_radii_and_steps_follow_the_algorithm(radius, largest, eta):
    start = [-1.2, 1.0]
    weight = nn.Parameter(torch.tensor(start, dtype=F64))
    optimizer = NewtonTrustRegion([weight], radius=radius, max_radius=largest, eta=eta)
    for expected, then in by_the_book(start, radius, largest, eta, 15):
        optimizer.step(lambda: 100 * (weight[1] - weight[0] ** 2) ** 2 + (1 - weight[0]) ** 2)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=1e-9)
        assert optimizer.state[weight]["radius"] == pytest.approx(then, rel=1e-9)


def test_a_saddle_is_left_although_its_gradient_is_zero():
    weight = nn.Parameter(torch.zeros(2, dtype=F64))
    optimizer = NewtonTrustRegion([weight])

    def loss_of():
        return weight[0] ** 2 - weight[1] ** 2 + weight[1] ** 4

    for _ in range(20):
        optimizer.step(loss_of)
    assert loss_of().item() == pytest.approx(-0.25, abs=1e-12)


def test_a_network_with_frozen_and_unused_parameters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).to(F64)
    model[0].bias.requires_grad_(False)
    unused = nn.Parameter(torch.ones(2, dtype=F64))
    before = model[0].bias.detach().clone()
    x, y = torch.randn(30, 2, dtype=F64), torch.randn(30, 1, dtype=F64)
    optimizer = NewtonTrustRegion([*model.parameters(), unused])

    def loss_of():
        decay = sum(p.square().sum() for p in model.parameters())  # else minima at infinity
        return (model(x) - y).square().mean() + 0.01 * decay

    losses = [optimizer.step(loss_of).item() for _ in range(40)]
    assert all(b <= a + 1e-15 for a, b in pairwise(losses))
    grads = torch.autograd.grad(loss_of(), [p for p in model.parameters() if p.requires_grad])
    assert max(g.abs().max().item() for g in grads) < 1e-8
    assert torch.equal(model[0].bias, before)
    assert torch.equal(unused, torch.ones(2, dtype=F64))


def test_float32_weights_and_losses_that_are_linear_or_not_finite():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = NewtonTrustRegion([weight], radius=0.5)
    optimizer.step(lambda: weight[0] * 3 + weight[1] * 4)
    assert torch.allclose(weight, torch.tensor([0.7, 1.6]))
    well = nn.Parameter(torch.tensor([0.01], dtype=F64))
    optimizer = NewtonTrustRegion([well], radius=100.0)
    for _ in range(30):
        optimizer.step(lambda: torch.sum(well - torch.log(well)))
    assert well.item() == pytest.approx(1.0, abs=1e-9)


def test_misuse_is_named():
    weight = nn.Parameter(torch.ones(3))
    optimizer = NewtonTrustRegion([weight])

    def backward():
        loss = weight.square().sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match=r"closure must not call backward\(\)"):
        optimizer.step(backward)
    with pytest.raises(RuntimeError, match="must return a tensor that depends on the parameters"):
        optimizer.step(lambda: weight.detach().sum())
    with pytest.raises(ValueError, match="1 to max_parameters=2 of them, got 3; use LBFGS"):
        NewtonTrustRegion([weight], max_parameters=2)
    with pytest.raises(ValueError, match="1 to max_parameters=1000 of them, got 0"):
        NewtonTrustRegion([nn.Parameter(torch.ones(3), requires_grad=False)])
    with pytest.raises(ValueError, match="must share dtype and device, got 2"):
        NewtonTrustRegion([weight, nn.Parameter(torch.ones(1, dtype=F64))])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"radius": 0.0}, "radius must be > 0, got 0"),
        ({"radius": 2.0, "max_radius": 1.0}, "max_radius must be >= 2, got 1"),
        ({"eta": 0.25}, r"eta must be in \[0, 0.25\), got 0.25"),
        ({"max_trials": 0}, "max_trials must be an integer >= 1"),
        ({"max_parameters": "all"}, "max_parameters must be an integer >= 1, got 'all'"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        NewtonTrustRegion([nn.Parameter(torch.zeros(2))], **settings)
