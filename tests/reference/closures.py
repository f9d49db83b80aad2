"""Methods run singly, on a flat vector: they ask a problem for values as often as they need.

A problem has `value(w)`, `gradient(w)`, `hessian(w)`, `residuals(w)` and `jacobian(w)`. A method
is `(w, problem, state, **hypers) -> w`, `state` a dict that starts empty.
"""

import numpy as np
from numpy.linalg import eigh, norm, solve


def gradient_descent_armijo(
    w, problem, state, *, lr=1.0, c1=1e-4, shrink=0.5, expand=2.0, max_trials=50
):
    """Armijo 1966; Nocedal & Wright 2006, Algorithm 3.1.

    The first trial of a later step is the rate taken before times `expand`.
    """
    value, g = problem.value(w), problem.gradient(w)
    rate = state.get("rate", lr / expand) * expand
    for _ in range(max_trials):
        if problem.value(w - rate * g) <= value - c1 * rate * (g @ g):
            state["rate"] = rate
            return w - rate * g
        rate *= shrink
    return w


def newton_trust_region(
    w, problem, state, *, radius=1.0, max_radius=1000.0, eta=0.15, max_trials=20
):
    """Nocedal & Wright 2006, Algorithm 4.1, with the exact minimiser in the ball.

    One step is as many of the book's iterations as it takes until a trial is accepted.
    """
    radius = state.get("radius", radius)
    value, g, hessian = problem.value(w), problem.gradient(w), problem.hessian(w)
    for _ in range(max_trials):
        step = ball_minimiser(g, hessian, radius)
        promised = -(g @ step + step @ hessian @ step / 2)
        share = (value - problem.value(w + step)) / promised if promised > 0 else 0.0
        if share < 0.25:
            radius /= 4
        elif share > 0.75 and norm(step) > radius * (1 - 1e-8):
            radius = min(2 * radius, max_radius)
        state["radius"] = radius
        if share > eta:
            return w + step
    return w


def ball_minimiser(g, hessian, radius):
    """Return the `p` of norm at most `radius` that minimises `g p + p H p / 2`.

    Theorem 4.1 of Nocedal & Wright: `(H + s I) p = -g` with `H + s I` semidefinite, and `s = 0`
    or `|p| = radius`. `s` is found by bisection in the eigenbasis; in the hard case a multiple of
    the eigenvector of the lowest eigenvalue fills up the length.
    """
    values, vectors = eigh(hessian)
    slopes = vectors.T @ g

    def length(shift):
        return norm(slopes / (values + shift))

    if values[0] > 0 and length(0.0) <= radius:
        return -vectors @ (slopes / values)
    low = max(0.0, -values[0])
    lowest = np.isclose(values, values[0], rtol=1e-12, atol=1e-14)
    if norm(slopes[lowest]) < 1e-14 * max(1.0, norm(slopes)):
        inside = np.where(lowest, 0.0, slopes / np.where(lowest, 1.0, values + low))
        missing = radius**2 - inside @ inside
        if missing >= 0:
            inside[0] -= np.sqrt(missing)
            return -vectors @ inside
    high = low + norm(g) / radius
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) > radius else (low, middle)
    return -vectors @ (slopes / (values + high))


def levenberg_marquardt(w, problem, state, *, tau=1e-3, max_trials=20):
    """Levenberg 1944 and Marquardt 1963 with the damping of Nielsen 1999.

    Madsen, Nielsen & Tingleff 2004, Algorithm 3.16; one step is as many of its iterations as it
    takes until a trial is accepted.
    """
    jacobian, residuals = problem.jacobian(w), problem.residuals(w)
    normal, g = jacobian.T @ jacobian, jacobian.T @ residuals
    state.setdefault("mu", tau * np.diag(normal).max())
    state.setdefault("nu", 2.0)
    for _ in range(max_trials):
        step = solve(normal + state["mu"] * np.eye(len(w)), -g)
        promised = step @ (state["mu"] * step - g) / 2
        fallen = problem.value(w) - problem.value(w + step)
        if promised > 0 and fallen > 0:
            state["mu"] *= max(1 / 3, 1 - (2 * fallen / promised - 1) ** 3)
            state["nu"] = 2.0
            return w + step
        state["mu"] *= state["nu"]
        state["nu"] *= 2
    return w
