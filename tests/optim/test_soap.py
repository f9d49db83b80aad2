"""SOAP equals a plain NumPy reading of Algorithm 3, and Adam where it has no basis."""

import numpy as np
import pytest
import torch

from ravine.optim._soap import SOAP
from tests.optim.matrix_peers import give, weights


def plain_soap(weight, grads, bases, lr, betas, eps, decay, every, shampoo_beta):
    """Matrices only. The first gradient has chosen the bases and moves nothing."""
    beta1, beta2 = betas
    first = grads[0]
    left = (1 - shampoo_beta) * first @ first.T
    right = (1 - shampoo_beta) * first.T @ first
    ql, qr = bases
    mean, square = np.zeros(weight.shape), np.zeros(weight.shape)
    for t, g in enumerate(grads[1:], start=1):
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * (ql.T @ g @ qr) ** 2
        turned = ql.T @ mean @ qr / (1 - beta1**t)
        # The authors add eps to the uncorrected root and correct the whole afterwards.
        denominator = (np.sqrt(square) + eps) / np.sqrt(1 - beta2**t)
        weight = weight - lr * ql @ (turned / denominator) @ qr.T
        weight = weight - lr * decay * weight
        left = shampoo_beta * left + (1 - shampoo_beta) * g @ g.T
        right = shampoo_beta * right + (1 - shampoo_beta) * g.T @ g
        if t % every == 0:
            rows = np.argsort(-np.diag(ql.T @ left @ ql))
            columns = np.argsort(-np.diag(qr.T @ right @ qr))
            square = square[rows][:, columns]
            ql = np.linalg.qr(left @ ql[:, rows])[0]
            qr = np.linalg.qr(right @ qr[:, columns])[0]
    return weight


def assert_eigenbases(bases, grad):
    for basis, matrix in zip(bases, (grad @ grad.T, grad.T @ grad), strict=True):
        values = np.linalg.eigvalsh(matrix)[::-1]
        np.testing.assert_allclose(basis.T @ matrix @ basis, np.diag(values), atol=1e-12)
        np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-13)


@pytest.mark.parametrize("shape", [(6, 4), (3, 5), (4, 4)])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lr": 0.05, "betas": (0.9, 0.99), "weight_decay": 0.3, "precondition_frequency": 1},
        {"lr": 0.02, "shampoo_beta": 0.8, "eps": 1e-3, "precondition_frequency": 3},
    ],
)
def test_100_steps_equal_plain_numpy(shape, settings):
    grads = np.random.default_rng(0).normal(size=(100, *shape))
    [weight] = weights([shape])
    start = weight.detach().numpy().copy()
    optimizer = SOAP([weight], **settings)
    for i, grad in enumerate(grads):
        weight.grad = torch.from_numpy(grad)
        optimizer.step()
        if i == 0:  # of a matrix that is not square they are free where the gradient is 0
            bases = [q.numpy().copy() for q in optimizer.state[weight]["Q"]]
            assert_eigenbases(bases, grad)
    asked = {"lr": 3e-3, "betas": (0.95, 0.95), "eps": 1e-8, "weight_decay": 0.01,
             "precondition_frequency": 10, "shampoo_beta": None} | settings  # fmt: skip
    beta = asked["betas"][1] if asked["shampoo_beta"] is None else asked["shampoo_beta"]
    expected = plain_soap(
        start, grads, bases, asked["lr"], asked["betas"], asked["eps"], asked["weight_decay"],
        asked["precondition_frequency"], beta,
    )  # fmt: skip
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=1e-11)


def test_the_first_step_moves_nothing():
    [weight] = weights([(3, 2)])
    before = weight.detach().clone()
    weight.grad = torch.ones_like(weight)
    optimizer = SOAP([weight], lr=1.0)
    optimizer.step()
    assert torch.equal(weight, before)
    assert optimizer.state[weight]["step"] == 0


@pytest.mark.parametrize("shape", [(5,), (), (4, 6)])
def test_without_bases_it_is_adam_one_step_late(shape):
    """Vectors by default, and dimensions beyond the longest one."""
    ours, theirs = weights([shape]), weights([shape])
    settings = {"lr": 0.05, "betas": (0.9, 0.99), "weight_decay": 0.0}
    optimizer = SOAP(ours, eps=0.0, max_precond_dim=3, **settings)
    adam = torch.optim.AdamW(theirs, eps=0.0, **settings)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        give(generator, ours, theirs)
        optimizer.step()
        if step:
            adam.step()
    assert torch.allclose(ours[0], theirs[0], rtol=0, atol=1e-13)


def test_a_rotation_of_the_weights_rotates_the_steps():
    """What sets SOAP apart from Adam; of both sides at once, at every refresh."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
            for n in (4, 3))  # fmt: skip
    [plain], [turned] = weights([(4, 3)]), weights([(4, 3)])
    turned.data = u @ plain.detach() @ v
    optimizers = [SOAP([p], lr=0.05, precondition_frequency=2) for p in (plain, turned)]
    for _ in range(50):
        plain.grad = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        turned.grad = u @ plain.grad @ v
        for optimizer in optimizers:
            optimizer.step()
    assert torch.allclose(u @ plain @ v, turned, rtol=0, atol=1e-10)


def test_bases_stay_orthogonal_and_tensors_keep_their_order():
    [weight] = weights([(2, 3, 4, 5)])
    optimizer = SOAP([weight], precondition_frequency=2, max_precond_dim=4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        give(generator, [weight])
        optimizer.step()
    bases = optimizer.state[weight]["Q"]
    assert bases[3] is None
    for basis, size in zip(bases[:3], (2, 3, 4), strict=True):
        assert torch.allclose(basis.T @ basis, torch.eye(size, dtype=torch.float64), atol=1e-13)


def test_vectors_may_have_a_basis():
    [weight] = weights([(4,)])
    optimizer = SOAP([weight], precondition_1d=True)
    weight.grad = torch.tensor([3.0, 0.0, 4.0, 0.0], dtype=torch.float64)
    optimizer.step()
    first = optimizer.state[weight]["Q"][0][:, 0]  # the gradient's own direction
    assert torch.allclose(first.abs(), weight.grad / 5, atol=1e-14)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1"),
        ({"betas": 0.9}, "betas must be 2 numbers, got 0.9"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\] must be in \[0, 1\), got 1"),
        ({"shampoo_beta": -1}, r"shampoo_beta must be in \[0, 1\), got -1"),
        ({"precondition_frequency": 0}, "precondition_frequency must be an integer >= 1"),
        ({"max_precond_dim": True}, "max_precond_dim must be an integer >= 1, got True"),
        ({"precondition_1d": None}, "precondition_1d must be one of True, False, got None"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        SOAP(weights([(2, 2)]), **settings)
