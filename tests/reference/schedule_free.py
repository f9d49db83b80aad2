"""Schedule-Free SGD and AdamW: Defazio et al. 2024, arXiv:2405.15682.

Written with the three sequences of the paper, as the package `schedulefree` 1.4 weighs them: `z`
takes the steps, `x` is the weighted average of `z` and is what to evaluate, and the gradient is
taken at the stored `y = (1 - beta) z + beta x`.
"""

import numpy as np

from tests.reference.stepping import average


def schedule_free_sgd(
    w, g, slot, t, *, lr, beta=0.9, weight_decay=0.0, warmup_steps=0, r=0.0, weight_lr_power=2.0
):
    """Algorithm of section 2, with the decay taken at `y`."""
    rate = _warmed(lr, t, warmup_steps)
    direction = g + weight_decay * w
    return _move(w, direction, slot, t, rate, beta, r, weight_lr_power)


def schedule_free_adamw(
    w,
    g,
    slot,
    t,
    *,
    lr,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    warmup_steps=0,
    r=0.0,
    weight_lr_power=2.0,
):
    """Algorithm 1: the bias of the second moment is corrected, eps outside the root."""
    rate = _warmed(lr, t, warmup_steps)
    root = np.sqrt(average(slot, "v", g**2, beta2) / (1 - beta2**t))
    direction = g / (root + eps) + weight_decay * w
    return _move(w, direction, slot, t, rate, beta1, r, weight_lr_power)


def _warmed(lr, t, warmup_steps):
    return lr * min(1.0, t / warmup_steps) if warmup_steps else lr


def _move(w, direction, slot, t, rate, beta, r, power):
    slot["largest"] = max(slot.get("largest", rate), rate)
    weight = t**r * slot["largest"] ** power
    slot["sum"] = slot.get("sum", 0.0) + weight
    c = weight / slot["sum"] if slot["sum"] else 0.0
    slot["z"] = slot.get("z", w) - rate * direction
    slot["x"] = (1 - c) * slot.get("x", w) + c * slot["z"]
    return (1 - beta) * slot["z"] + beta * slot["x"]
