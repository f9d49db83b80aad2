"""Oracles of the methods that ask for values as they go, on the problem of the golden data."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from ravine.testing import _golden_problem as problem
from tests.reference.closures import (
    ball_minimiser,
    gradient_descent_armijo,
    levenberg_marquardt,
    newton_trust_region,
)

START = problem.flatten(problem.START)


def _run(method, steps, **hypers):
    w, state, path = START, {}, []
    for _ in range(steps):
        w = method(w, problem, state, **hypers)
        path.append((w, dict(state)))
    return path


def test_armijo_takes_the_largest_rate_that_falls_enough():
    before, first, shrunk = START, 4.0, 0
    settings = {"lr": 4.0, "c1": 0.3, "shrink": 0.5, "expand": 3.0}
    for w, state in _run(gradient_descent_armijo, 30, **settings):
        g, rate = problem.gradient(before), state["rate"]

        def enough(r, at=before, g=g):
            return problem.value(at - r * g) <= problem.value(at) - 0.3 * r * (g @ g)

        assert enough(rate)
        assert rate == first or not enough(2 * rate)
        np.testing.assert_array_equal(w, before - rate * g)
        before, first, shrunk = w, 3.0 * rate, shrunk + (rate < first)
    assert shrunk > 10


@pytest.mark.parametrize("radius", [1e-3, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("lowest", [-2.0, 0.0, 0.5])
def test_minimiser_in_the_ball_satisfies_the_conditions_of_optimality(radius, lowest):
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    hessian = basis @ np.diag([lowest, 0.6, 1.0, 2.0, 5.0, 9.0]) @ basis.T
    g = rng.normal(size=6)
    _assert_optimal(g, hessian, ball_minimiser(g, hessian, radius), radius)


@pytest.mark.parametrize("radius", [0.3, 2.0, 50.0])
def test_hard_case_fills_the_ball_along_the_lowest_eigenvector(radius):
    hessian, g = np.diag([-2.0, 1.0, 3.0]), np.array([0.0, 1.0, -2.0])
    step = ball_minimiser(g, hessian, radius)
    _assert_optimal(g, hessian, step, radius)
    assert (step[0] != 0) == (radius > 0.3)


def _assert_optimal(g, hessian, step, radius):
    """(H + s I) p = -g with H + s I semidefinite, s >= 0 and s = 0 inside the ball."""
    shift = -(step @ (hessian @ step + g)) / (step @ step)
    scale = max(1.0, abs(shift))
    np.testing.assert_allclose(hessian @ step + shift * step, -g, atol=1e-8 * scale)
    assert np.linalg.eigvalsh(hessian)[0] + shift > -1e-8 * scale
    assert shift > -1e-8
    length = np.linalg.norm(step)
    assert length <= radius * (1 + 1e-8)
    if length < radius * (1 - 1e-6):
        assert abs(shift) < 1e-8


def test_trust_region_leaves_the_indefinite_start_and_ends_as_newton():
    path = _run(newton_trust_region, 40, radius=0.4)
    assert np.linalg.eigvalsh(problem.hessian(START))[0] < -1
    values = [problem.value(START), *(problem.value(w) for w, _ in path)]
    assert (np.diff(values) <= 0).all()
    end = path[-1][0]
    assert np.abs(problem.gradient(end)).max() < 1e-12
    assert np.linalg.eigvalsh(problem.hessian(end))[0] > 0
    errors = np.array([np.linalg.norm(w - end) for w, _ in path])
    near = np.flatnonzero((errors < 1e-2) & (errors > 1e-7))
    assert len(near) and (errors[near + 1] < 10 * errors[near] ** 2).all()


def test_trust_region_shrinks_until_a_trial_is_accepted():
    (once,) = _run(newton_trust_region, 1, radius=50.0, max_trials=1)
    np.testing.assert_array_equal(once[0], START)
    assert once[1]["radius"] == 12.5
    (more,) = _run(newton_trust_region, 1, radius=50.0, max_trials=20)
    assert problem.value(more[0]) < problem.value(START)


@pytest.mark.parametrize("tau", [1e-6, 0.3])
def test_levenberg_marquardt_ends_at_scipys_minimum(tau):
    end, state, values = START, {}, [problem.value(START)]
    # nothing falls any more beyond rounding, and the damping would grow without end
    while np.abs(problem.gradient(end)).max() > 1e-8:
        end = levenberg_marquardt(end, problem, state, tau=tau)
        values.append(problem.value(end))
    assert (np.diff(values) < 0).all()
    assert len(values) < 80
    found = least_squares(
        problem.residuals, end + 1e-3, problem.jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    np.testing.assert_allclose(end, found.x, atol=1e-6)


def test_damping_of_levenberg_marquardt_follows_nielsen():
    largest = np.diag(problem.jacobian(START).T @ problem.jacobian(START)).max()
    (refused,) = _run(levenberg_marquardt, 1, tau=1e-9, max_trials=3)
    np.testing.assert_array_equal(refused[0], START)
    assert refused[1]["nu"] == 16.0
    np.testing.assert_allclose(refused[1]["mu"], 2 * 4 * 8 * 1e-9 * largest, rtol=1e-12)
    (taken,) = _run(levenberg_marquardt, 1, tau=1e9)  # a short step down the gradient
    assert taken[1]["nu"] == 2.0
    np.testing.assert_allclose(taken[1]["mu"], 1e9 * largest / 3, rtol=1e-6)
    slope = problem.gradient(START) / (1e9 * largest)
    np.testing.assert_allclose(taken[0] - START, -slope, rtol=1e-6)
