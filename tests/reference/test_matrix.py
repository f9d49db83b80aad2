"""Oracles of the matrix methods: what an orthogonal change of coordinates must not change."""

import numpy as np
import pytest

from tests.reference.matrix import matrix_power, newton_schulz
from tests.reference.oracles import ORACLES

HYPERS = {
    "shampoo": {"lr": 0.1, "eps": 1e-2},
    "soap": {"lr": 0.1, "eps": 1e-4, "precondition_frequency": 3},
    "muon": {"lr": 0.1, "weight_decay": 0.1},
}


def _run(name, start, grads, **hypers):
    convention = "torch" if name in ("muon", "adafactor") else "paper"
    ws, state, path = [start], {}, []
    for t, g in enumerate(grads, 1):
        ws = ORACLES[name, convention].step(ws, lambda _, g=g: [g], state, t, **hypers)
        path.append(ws[0])
    return path


@pytest.mark.parametrize("name", sorted(HYPERS))
@pytest.mark.parametrize("shape", [(4, 4), (3, 2), (2, 3)])
def test_turned_gradients_turn_the_path(name, shape):
    rng = np.random.default_rng(1)
    start, grads = rng.normal(size=shape), rng.normal(size=(12, *shape))
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in shape)
    plain = _run(name, start, grads, **HYPERS[name])
    turned = _run(name, left @ start @ right, left @ grads @ right, **HYPERS[name])
    for a, b in zip(plain, turned, strict=True):
        np.testing.assert_allclose(left @ a @ right, b, rtol=1e-9, atol=1e-10)


def test_shampoo_of_one_number_is_adagrad():
    grads = np.random.default_rng(2).normal(size=(20, 1))
    expected = -0.1 * np.cumsum(grads / np.sqrt(1e-2 + np.cumsum(grads**2, 0)), 0)
    for shape in ((1,), (1, 1), (1, 1, 1)):
        path = _run("shampoo", np.zeros(shape), grads.reshape(-1, *shape), **HYPERS["shampoo"])
        np.testing.assert_allclose(np.ravel(path), expected.ravel(), rtol=1e-12)


def test_shampoo_of_a_matrix_takes_fourth_roots():
    rng = np.random.default_rng(3)
    g = rng.normal(size=(3, 2))
    (w,) = _run("shampoo", np.zeros((3, 2)), [g], lr=1.0, eps=0.5)
    left = matrix_power(0.5 * np.eye(3) + g @ g.T, -0.25)
    right = matrix_power(0.5 * np.eye(2) + g.T @ g, -0.25)
    np.testing.assert_allclose(w, -left @ g @ right, rtol=1e-12)
    fourth = np.linalg.matrix_power(left, 4)
    np.testing.assert_allclose(fourth @ (0.5 * np.eye(3) + g @ g.T), np.eye(3), atol=1e-12)


def test_soap_of_a_vector_is_adam_one_step_late():
    grads = np.random.default_rng(4).normal(size=(20, 5))
    path = _run("soap", np.zeros(5), grads, lr=0.1, beta1=0.8, beta2=0.9, eps=0.0)
    adam, state, ws = ORACLES["adam", "torch"].step, {}, [np.zeros(5)]
    np.testing.assert_array_equal(path[0], 0.0)
    for t, g in enumerate(grads[1:], 1):
        ws = adam(ws, lambda _, g=g: [g], state, t, lr=0.1, beta1=0.8, beta2=0.9, eps=0.0)
        np.testing.assert_allclose(path[t], ws[0], rtol=1e-11, atol=1e-13)


def test_soap_before_any_refresh_is_adam_in_the_basis_of_the_first_gradient():
    rng = np.random.default_rng(5)
    grads = rng.normal(size=(8, 3, 3))
    left, _, right = np.linalg.svd(grads[0])
    path = _run("soap", np.zeros((3, 3)), grads, lr=0.1, precondition_frequency=100)
    adam, state, ws = ORACLES["adam", "torch"].step, {}, [np.zeros((3, 3))]
    for t, g in enumerate(left.T @ grads[1:] @ right.T, 1):
        ws = adam(ws, lambda _, g=g: [g], state, t, lr=0.1, beta1=0.95, beta2=0.95, eps=1e-12)
        np.testing.assert_allclose(path[t], left @ ws[0] @ right, rtol=1e-6, atol=1e-8)


def test_newton_schulz_with_converging_coefficients_is_the_polar_factor():
    matrix = np.random.default_rng(6).normal(size=(5, 3))
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    for x, polar in [(matrix, left @ right), (matrix.T, (left @ right).T)]:
        np.testing.assert_allclose(newton_schulz(x, 60, (1.5, -0.5, 0.0), 1e-7), polar, atol=1e-12)


def test_muon_refuses_a_vector():
    with pytest.raises(ValueError, match=r"matrices.*\(5,\)"):
        _run("muon", np.zeros(5), [np.ones(5)], lr=0.1)
