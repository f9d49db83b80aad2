"""L-BFGS with the semantics of torch.optim.LBFGS, on a flat vector.

Sources: Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7, for the two loops; Nocedal & Wright
2006, Algorithms 3.5 and 3.6, for the strong Wolfe search, with the safeguards of minFunc that
torch follows.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Point:
    """A step length on the line, with the value, gradient and slope there."""

    t: float
    f: float
    g: np.ndarray
    slope: float


def lbfgs(
    w, problem, state, *, lr=1.0, max_iter=20, max_eval=None, tolerance_grad=1e-7,
    tolerance_change=1e-9, history_size=100, line_search_fn=None,
):  # fmt: skip
    """Return the weights after one call: up to `max_iter` iterations or `max_eval` evaluations."""
    max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
    now, evaluations = Point(0.0, problem.value(w), problem.gradient(w), 0.0), 1
    for iteration in range(max_iter):
        if np.abs(now.g).max() <= tolerance_grad or (iteration and evaluations >= max_eval):
            break
        first = "pairs" not in state
        line = _Line(problem, w, _direction(now.g, state, history_size))
        trial = min(1.0, 1.0 / np.abs(now.g).sum()) * lr if first else lr
        start = Point(0.0, now.f, now.g, now.g @ line.direction)
        state |= {"g": now.g, "d": line.direction, "t": trial}
        if start.slope > -tolerance_change:
            break
        if line_search_fn == "strong_wolfe":
            now = _strong_wolfe(line, start, trial, max_eval - evaluations, tolerance_change)
        else:  # torch does not evaluate after the last step of a call
            last = iteration == max_iter - 1
            now = Point(trial, start.f, start.g, 0.0) if last else line.at(trial)
        state["t"] = now.t
        w, evaluations = w + now.t * line.direction, evaluations + line.used
        moved = np.abs(now.t * line.direction).max()
        if moved <= tolerance_change or abs(now.f - start.f) < tolerance_change:
            break
    return w


def _direction(g, state, history_size):
    """Take up the newest pair `(s, y)` and return `-H g` by the two loops."""
    if "pairs" not in state:
        state |= {"pairs": [], "scale": 1.0}
        return -g
    s, y = state["t"] * state["d"], g - state["g"]
    if y @ s > 1e-10:
        state["pairs"] = [*state["pairs"], (s, y)][-history_size:]
        state["scale"] = (y @ s) / (y @ y)
    q, weights = -g, []
    for s, y in reversed(state["pairs"]):
        weights.append((s @ q) / (y @ s))
        q = q - weights[-1] * y
    q = state["scale"] * q
    for (s, y), weight in zip(state["pairs"], reversed(weights), strict=True):
        q = q + (weight - (y @ q) / (y @ s)) * s
    return q


class _Line:
    """The problem along a direction, counting evaluations."""

    def __init__(self, problem, w, direction):
        self.problem, self.w, self.direction, self.used = problem, w, direction, 0

    def at(self, t):
        self.used += 1
        point = self.w + t * self.direction
        g = self.problem.gradient(point)
        return Point(t, self.problem.value(point), g, g @ self.direction)


def _strong_wolfe(line, start, t, trials, tolerance, c1=1e-4, c2=0.9):
    """Return a point with `f <= f0 + c1 t slope0` and `|slope| <= -c2 slope0`, if one is found."""

    def too_high(p):
        return p.f > start.f + c1 * p.t * start.slope

    def flat(p):
        return abs(p.slope) <= -c2 * start.slope

    previous, now, tried = start, line.at(t), 0
    while tried < trials:
        # minFunc allows the first two trials to be above the one before
        if too_high(now) or (tried > 1 and now.f >= previous.f):
            break
        if flat(now):
            return now
        if now.slope >= 0:
            break
        ahead = (now.t + 0.01 * (now.t - previous.t), 10 * now.t)
        previous, now = now, line.at(_cubic(previous, now, ahead))
        tried += 1
    else:
        previous = start
    return _zoom(line, [previous, now], trials - tried, tolerance, too_high, flat, line.direction)


def _zoom(line, bracket, trials, tolerance, too_high, flat, direction):
    """Shrink a bracket until a point in it satisfies both conditions; return the lowest end."""
    low = 0 if bracket[0].f <= bracket[1].f else 1
    stuck = False
    for _ in range(trials):
        left, right = sorted(p.t for p in bracket)
        if (right - left) * np.abs(direction).max() < tolerance:
            break
        t = _cubic(bracket[0], bracket[1], (left, right))
        t, stuck = _away_from_the_ends(t, left, right, stuck)
        new, high = line.at(t), 1 - low
        if too_high(new) or new.f >= bracket[low].f:
            bracket[high] = new
            low = 0 if bracket[0].f <= bracket[1].f else 1
            continue
        if flat(new):
            return new
        if new.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
    return bracket[low]


def _away_from_the_ends(t, left, right, stuck):
    """Keep a trial a tenth of the bracket from its ends once it comes close twice running."""
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not stuck and left < t < right:
        return t, True
    return (right - margin if abs(t - right) < abs(t - left) else left + margin), False


def _cubic(a, b, bounds):
    """Return the minimiser in `bounds` of the cubic through two values and slopes."""
    low, high = bounds
    left, right = (a, b) if a.t <= b.t else (b, a)
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2
    d2 = np.sqrt(square)
    share = (right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2)
    return min(max(right.t - (right.t - left.t) * share, low), high)
