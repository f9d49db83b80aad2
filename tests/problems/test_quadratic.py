"""DeepOBS's quadratic_deep: its numbers, H built another way, and its published results."""

import numpy as np
import pytest
import torch

from ravine.problems import named_problem
from ravine.problems._quadratic import hessian, random_rotation


@pytest.fixture(scope="module")
def problem():
    return named_problem("quadratic_deep")


def draws():
    """The numbers DeepOBS takes from RandomState(42), in its order."""
    random = np.random.RandomState(42)
    eigenvalues = [*random.uniform(0, 1, 90), *random.uniform(30, 60, 10)]
    angle = 2 * np.pi * random.rand()
    return eigenvalues, angle, [random.normal(size=size) for size in range(3, 101)]


def rotation_from_reflections(angle, vectors):
    """R as a product of 100 x 100 matrices, each acting on the last coordinates."""
    dimensions = len(vectors) + 2
    plane = np.eye(dimensions)
    plane[-2:, -2:] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    product = plane
    for v in vectors:
        reflection = np.eye(dimensions)
        x = np.eye(1, len(v))[0] - v / np.sqrt((v * v).sum())
        block = np.eye(len(v)) - 2 * np.outer(x, x) / (x * x).sum()
        reflection[-len(v) :, -len(v) :] = block
        product = reflection @ product
    return -product


def loop_loss(w, rows, h):
    return np.mean([0.5 * (w - x) @ h @ (w - x) for x in rows])


def test_hessian_against_an_independent_construction():
    eigenvalues, angle, vectors = draws()
    rotation = rotation_from_reflections(angle, vectors)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(100), atol=1e-12)
    expected = rotation.T @ np.diag(eigenvalues) @ rotation
    np.testing.assert_allclose(hessian(), expected, atol=1e-11)


def test_eigenvalues_are_those_drawn():
    found = np.linalg.eigvalsh(hessian())
    np.testing.assert_allclose(found, np.sort(draws()[0]), atol=1e-11)
    assert ((found > 0) & (found < 1)).sum() == 90 and ((found > 30) & (found < 60)).sum() == 10


def test_rotations_are_spread_evenly():
    # The mean of many uniform rotations is 0: each entry deviates by sqrt(1 / 3) per draw.
    random = np.random.RandomState(0)
    rotations = np.array([random_rotation(3, random) for _ in range(2000)])
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), [np.eye(3)] * 2000, atol=1e-12
    )
    assert abs(rotations.mean(0)).max() < 4.5 * np.sqrt(1 / 3 / 2000)


def test_data_are_those_of_deepobs(problem):
    for seed, rows in ((42, problem.split(0).train), (43, problem.evaluation_rows(0, "test"))):
        expected = np.random.RandomState(seed).normal(0, 0.6, (1000, 100)).astype(np.float32)
        np.testing.assert_array_equal(problem.data.x[rows].numpy(), expected[: len(rows)])
    assert (len(problem.split(0).train), len(problem.evaluation_rows(0, "test"))) == (1000, 896)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_test_loss_at_the_start(problem, dtype):
    rows = problem.evaluation_rows(0, "test")
    model = problem.build(0, dtype)
    assert {weights.eq(1).all().item() for weights in model.parameters()} == {True}
    x, y = problem.data.x[rows].to(dtype), problem.data.y[rows].to(dtype)
    assert problem.loss(model(x), y).item() == pytest.approx(353.4468, abs=1e-4)
    assert loop_loss(np.ones(100), x.double().numpy(), hessian()) == pytest.approx(
        353.4468, abs=1e-4
    )


def test_loss_and_gradient_against_loops(problem):
    w = np.random.default_rng(0).normal(size=100)
    model = problem.build(0, torch.float64)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(w), model.parameters())
    x = problem.data.x[:7].double()
    loss = problem.loss(model(x), torch.zeros_like(x))
    loss.backward()
    (gradient,) = (weights.grad.numpy() for weights in model.parameters())
    assert loss.item() == pytest.approx(loop_loss(w, x.numpy(), hessian()), rel=1e-12)
    np.testing.assert_allclose(gradient, hessian() @ (w - x.numpy().mean(0)), rtol=1e-9, atol=1e-10)


def test_loss_stacks_under_vmap(problem):
    outputs = torch.randn(3, 5, 100, generator=torch.Generator().manual_seed(0))
    stacked = torch.func.vmap(problem.loss)(outputs, torch.zeros_like(outputs))
    single = [problem.loss(part, torch.zeros_like(part)).item() for part in outputs]
    assert stacked.tolist() == pytest.approx(single, rel=1e-6)


def test_settings_are_those_of_deepobs(problem):
    assert (problem.batch, problem.epochs, problem.schedule) == (128, 100, "constant")
    assert (problem.score_name, problem.direction) == ("loss", "min")
    assert problem.smallest_difference is None
    assert len(problem.evaluation_rows(0, "validation")) == 0
    split = problem.split(0)
    assert split.shift.eq(0).all() and split.scale.eq(1).all()
    np.testing.assert_array_equal(problem.order(3, 0, 128), problem.order(3, 99, 128))
    assert problem.order(3, 0, 128).shape == (7, 128)


def test_published_result_of_sgd(problem):
    """DeepOBS: final test loss of SGD, lr 0.015849, over 10 seeds: 87.397 +- 0.169."""
    h, x = hessian(), problem.data.x.double().numpy()
    final = []
    for seed in range(10):
        w = np.ones(100)
        for epoch in range(problem.epochs):
            for rows in problem.order(seed, epoch, problem.batch):
                w -= 0.015849 * h @ (w - x[rows].mean(0))
        error = w - x[problem.evaluation_rows(seed, "test")]
        final.append(0.5 * np.einsum("nd,de,ne->n", error, h, error).mean())
    # Two means of ten seeds each differ by sqrt(2 / 10) of the spread; three times that.
    assert np.mean(final) == pytest.approx(87.397, abs=3 * 0.169 * np.sqrt(2 / 10))
    assert 0.5 < np.std(final, ddof=1) / 0.169 < 2
