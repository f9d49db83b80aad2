"""Shampoo equals its closed forms and a plain NumPy reading of Algorithm 2."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ravine.optim._shampoo import Shampoo
from tests.optim.matrix_peers import SHAPES, give, weights


def root(matrix, order):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values ** (-1 / order)) @ vectors.T


def unfolded_along(tensor, i):
    return np.moveaxis(tensor, i, 0).reshape(tensor.shape[i], -1)


def plain_shampoo(weight, grads, lr, eps, decay, momentum):
    """Algorithm 2 with a Kronecker product: one matrix for the whole flattened weight."""
    k = weight.ndim
    statistics = [eps * np.eye(n) for n in weight.shape]
    velocity = np.zeros(weight.shape)
    for grad in grads:
        g = grad + decay * weight
        statistics = [h + unfolded_along(g, i) @ unfolded_along(g, i).T
                      for i, h in enumerate(statistics)]  # fmt: skip
        whole = np.eye(1)
        for h in statistics:
            whole = np.kron(whole, root(h, 2 * k))
        velocity = momentum * velocity + (whole @ g.ravel()).reshape(g.shape)
        weight = weight - lr * velocity
    return weight


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (7,), (2, 3, 4), (3, 2, 2, 2), (5, 1)])
@pytest.mark.parametrize(
    "settings",
    [{}, {"lr": 0.05, "eps": 1e-2, "weight_decay": 0.3}, {"momentum": 0.9, "weight_decay": 0.1}],
)
def test_100_steps_equal_a_kronecker_product(shape, settings):
    rng = np.random.default_rng(0)
    grads = 0.3 * rng.normal(size=(100, *shape))
    [weight] = weights([shape])
    start = weight.detach().numpy().copy()
    optimizer = Shampoo([weight], **settings)
    for grad in grads:
        weight.grad = torch.from_numpy(grad)
        optimizer.step()
    asked = {"lr": 0.1, "eps": 1e-4, "weight_decay": 0.0, "momentum": 0.0} | settings
    expected = plain_shampoo(
        start, grads, asked["lr"], asked["eps"], asked["weight_decay"], asked["momentum"]
    )
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=1e-11)


def test_a_first_step_along_one_direction_by_hand():
    """G = s e1 e1.T: both matrices are eps + s^2 there, each to the power -1/4."""
    weight = torch.nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))
    weight.grad = torch.zeros_like(weight)
    weight.grad[0, 0] = 3.0
    Shampoo([weight], lr=1.0, eps=1.0).step()
    assert weight[0, 0].item() == pytest.approx(-3 / 10**0.5, rel=1e-14)
    assert weight.count_nonzero() == 1


def test_long_dimensions_keep_a_diagonal():
    """A diagonal along one dimension, the full matrix along the other."""
    rng = np.random.default_rng(0)
    [weight] = weights([(5, 3)])
    expected = weight.detach().numpy().copy()
    optimizer = Shampoo([weight], lr=0.1, eps=1e-3, max_size=4)
    rows, columns = np.full(5, 1e-3), 1e-3 * np.eye(3)
    for _ in range(20):
        grad = rng.normal(size=(5, 3))
        weight.grad = torch.from_numpy(grad)
        optimizer.step()
        rows, columns = rows + (grad**2).sum(1), columns + grad.T @ grad
        expected -= 0.1 * rows[:, None] ** -0.25 * grad @ root(columns, 4)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=1e-13)
    assert [s.shape for s in optimizer.state[weight]["statistics"]] == [(5,), (3, 3)]


def test_with_diagonals_only_a_vector_and_a_scalar_have_adagrad():
    ours, theirs = weights([(6,), ()]), weights([(6,), ()])
    optimizers = (
        Shampoo(ours, lr=0.1, eps=0.01, max_size=1),
        torch.optim.Adagrad(theirs, lr=0.1, initial_accumulator_value=0.01, eps=0.0),
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        give(generator, ours, theirs)
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-13)


def test_roots_are_refreshed_at_the_interval():
    [weight] = weights([(3, 3)])
    optimizer = Shampoo([weight], interval=3)
    generator, kept = torch.Generator().manual_seed(0), []
    for _ in range(7):
        give(generator, [weight])
        optimizer.step()
        kept.append(optimizer.state[weight]["roots"][0].clone())
    refreshed = [not torch.equal(a, b) for a, b in pairwise(kept)]
    assert refreshed == [False, False, True, False, False, True]
    statistic = optimizer.state[weight]["statistics"][0].numpy()
    np.testing.assert_allclose(kept[-1].numpy(), root(statistic, 4), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_have_single_precision_statistics(dtype):
    ours, exact = weights(SHAPES, dtype), weights(SHAPES, torch.float32)
    optimizers = Shampoo(ours), Shampoo(exact)
    with torch.no_grad():
        for a, b in zip(ours, exact, strict=True):
            b.copy_(a)
    give(torch.Generator().manual_seed(0), ours)
    for a, b in zip(ours, exact, strict=True):
        b.grad = a.grad.float()
    for optimizer in optimizers:
        optimizer.step()
    for a, b in zip(ours, exact, strict=True):
        assert optimizers[0].state[a]["statistics"][0].dtype == torch.float32
        assert torch.allclose(a.float(), b, rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1"),
        ({"eps": 0.0}, "eps must be > 0, got 0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0"),
        ({"interval": 0}, "interval must be an integer >= 1, got 0"),
        ({"max_size": 1.5}, "max_size must be an integer >= 1, got 1.5"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        Shampoo(weights([(2, 2)]), **settings)
