"""D-Adaptation and Prodigy: the distance to the solution is estimated on the way.

The estimate `d` is one number for the whole model. Sources: Defazio & Mishchenko 2023,
arXiv:2301.07733, as the package `dadaptation` 3.2 has it; Mishchenko & Defazio 2024,
arXiv:2306.06101, as the package `prodigyopt` 1.1 has it. A step on which every gradient so far
was zero changes nothing.
"""

import math

import numpy as np

INF = math.inf


def _start(ws, state, names, **numbers):
    state["start"] = [w.copy() for w in ws]
    for name in names:
        state[name] = [np.zeros_like(w) for w in ws]
    state |= numbers


def _dot(a, b):
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))


def _l1(a):
    return sum(float(np.abs(x).sum()) for x in a)


def _penalised(gs, ws, decay):
    return [g + decay * w for g, w in zip(gs, ws, strict=True)]


def _add(state, name, beta, new):
    state[name] = [beta * old + x for old, x in zip(state[name], new, strict=True)]


def _rate(d, lr, t, beta1, beta2, bias_correction):
    return d * lr * (math.sqrt(1 - beta2**t) / (1 - beta1**t) if bias_correction else 1.0)


def dadapt_sgd(ws, gs, state, t, *, lr=1.0, mu=0.0, d0=1e-6, growth_rate=INF, weight_decay=0.0):
    """SGD with dual averaging, Algorithm 4 of the paper; `w` averages the dual points.

    The first gradient norm, which scales every step, is that of the gradient without the decay.
    """
    if t == 1:
        _start(ws, state, "s", d=d0, first=math.sqrt(_dot(gs, gs)), numerator=0.0)
    gs = _penalised(gs, ws, weight_decay)
    rate = state["d"] * lr / state["first"]
    state["numerator"] += rate * _dot(gs, state["s"])
    _add(state, "s", 1.0, [rate * g for g in gs])
    d_hat = 2 * state["numerator"] / math.sqrt(_dot(state["s"], state["s"]))
    state["d"] = max(state["d"], min(d_hat, growth_rate * state["d"]))
    duals = [start - s for start, s in zip(state["start"], state["s"], strict=True)]
    return [mu * w + (1 - mu) * z for w, z in zip(ws, duals, strict=True)]


def dadapt_adam(
    ws,
    gs,
    state,
    t,
    *,
    lr=1.0,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    d0=1e-6,
    growth_rate=INF,
    weight_decay=0.0,
    decouple=False,
    bias_correction=False,
):
    """Adam with the estimate: Algorithm 5 of the paper.

    The inner product is divided by the root *before* this gradient enters it, which the paper
    does afterwards; the rate inside the first moment is that of the gradient's own step.
    """
    if t == 1:
        _start(ws, state, "msv", d=d0, numerator=0.0)
    rate = _rate(state["d"], lr, t, beta1, beta2, bias_correction)
    gs = gs if decouple else _penalised(gs, ws, weight_decay)
    scaled = [s / (np.sqrt(v) + eps) for s, v in zip(state["s"], state["v"], strict=True)]
    root = math.sqrt(beta2)
    numerator = root * state["numerator"] + (1 - root) * rate * _dot(gs, scaled)
    _add(state, "m", beta1, [(1 - beta1) * rate * g for g in gs])
    _add(state, "v", beta2, [(1 - beta2) * g**2 for g in gs])
    _add(state, "s", root, [(1 - root) * rate * g for g in gs])
    length = _l1(state["s"])
    if length == 0:
        return ws
    d_hat = numerator / ((1 - root) * length)
    state["numerator"] = numerator
    state["d"] = max(state["d"], min(d_hat, growth_rate * state["d"]))
    kept = 1 - weight_decay * rate if decouple else 1.0
    moments = zip(ws, state["m"], state["v"], strict=True)
    return [kept * w - m / (np.sqrt(v) + eps) for w, m, v in moments]


def prodigy(
    ws,
    gs,
    state,
    t,
    *,
    lr=1.0,
    beta1=0.9,
    beta2=0.999,
    beta3=None,
    eps=1e-8,
    d0=1e-6,
    d_coef=1.0,
    growth_rate=INF,
    weight_decay=0.0,
    decouple=True,
    bias_correction=False,
    safeguard_warmup=False,
):
    """Algorithm 4 of the paper; `beta3` None is the root of `beta2`.

    The step uses the rate with the old estimate, and the new one beside eps.
    """
    beta3 = math.sqrt(beta2) if beta3 is None else beta3
    if t == 1:
        _start(ws, state, "msv", d=d0, d_max=d0, numerator=0.0)
    d = state["d"]
    rate = _rate(d, lr, t, beta1, beta2, bias_correction)
    gs = gs if decouple else _penalised(gs, ws, weight_decay)
    moved = [start - w for start, w in zip(state["start"], ws, strict=True)]
    numerator = beta3 * state["numerator"] + d / d0 * rate * _dot(gs, moved)
    _add(state, "m", beta1, [(1 - beta1) * d * g for g in gs])
    _add(state, "v", beta2, [(1 - beta2) * d**2 * g**2 for g in gs])
    _add(state, "s", beta3, [d / d0 * (d if safeguard_warmup else rate) * g for g in gs])
    length = _l1(state["s"])
    if length == 0:
        return ws
    d = _estimate(state, numerator, d_coef * numerator / length, d0, growth_rate)
    kept = 1 - weight_decay * rate if decouple else 1.0
    moments = zip(ws, state["m"], state["v"], strict=True)
    return [kept * w - rate * m / (np.sqrt(v) + d * eps) for w, m, v in moments]


def _estimate(state, numerator, d_hat, d0, growth_rate):
    """Take up Prodigy's new estimate; away from `d0` itself its growth is not bounded."""
    d = max(state["d"], d_hat) if state["d"] == d0 else state["d"]
    d_max = max(state["d_max"], d_hat)
    state |= {"numerator": numerator, "d_max": d_max, "d": min(d_max, growth_rate * d)}
    return state["d"]
