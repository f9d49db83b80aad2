"""Gradient descent and its relatives: momentum, averaging, signs."""

import numpy as np

from tests.reference import rules


def sgd(w, g, slot, t, *, lr):
    """Robbins & Monro 1951."""
    return rules.sgd(w, g, slot, t, lr)


def momentum(w, g, slot, t, *, lr, mu=0.9, dampening=0.0):
    """Polyak 1964 as torch.optim.SGD has it."""
    return rules.torch_momentum(w, g, slot, t, lr, momentum=mu, dampening=dampening)


def momentum_lecture(w, g, slot, t, *, lr, gamma=0.9, initial_velocity=0.0):
    """Polyak 1964 with the rate inside the velocity."""
    slot.setdefault("v", np.full_like(w, initial_velocity))
    return rules.lecture_momentum(w, g, slot, t, lr, gamma=gamma)


def momentum_textbook(w, g, slot, t, *, lr, alpha=0.9, initial_velocity=0.0):
    """Goodfellow, Bengio & Courville 2016, Algorithm 8.2: `v` points downhill and is added."""
    slot["v"] = alpha * slot.get("v", np.full_like(w, initial_velocity)) - lr * g
    return w + slot["v"]


def nesterov(w, g, slot, t, *, lr, mu=0.9, dampening=0.0):
    """Nesterov 1983 as torch.optim.SGD has it; the first buffer is the gradient, undampened."""
    buf = g if t == 1 else mu * slot["buf"] + (1 - dampening) * g
    slot["buf"] = buf
    return w - lr * (g + mu * buf)


def nesterov_lecture(w, g, slot, t, *, lr, gamma=0.9):
    """The lecture's two steps, stored at the look-ahead point `w - gamma v`."""
    slot["weights"] = rules.lecture_nesterov(w, g, slot, t, lr, gamma=gamma)
    return slot["weights"] - gamma * slot["v"]


def asgd(w, g, slot, t, *, lr, lambd=1e-4, alpha=0.75, t0=1e6):
    """Polyak & Juditsky 1992 as torch.optim.ASGD has it (Bottou's schedule).

    The rate of step t is `lr / (1 + lambd lr (t - 1))^alpha`; the average `ax` follows with
    weight `1 / max(1, t - 1 - t0)`.
    """
    eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
    w = w * (1 - lambd * eta) - eta * g
    ax = slot.get("ax", np.zeros_like(w))
    slot["ax"] = ax + (w - ax) / max(1, t - 1 - t0)
    return w


def signsgd(w, g, slot, t, *, lr):
    """Bernstein et al. 2018, arXiv:1802.04434, Algorithm 1 with one worker."""
    return w - lr * np.sign(g)


def rprop(w, g, slot, t, *, lr, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50.0):
    """Igel & Hüsken 2000, iRprop-, which torch.optim.Rprop is: no move after a sign change."""
    step = slot.get("step", np.full_like(w, lr))
    agreement = np.sign(g * slot.get("previous", np.zeros_like(g)))
    factor = np.select([agreement > 0, agreement < 0], [eta_plus, eta_minus], 1.0)
    slot["step"] = np.clip(step * factor, step_min, step_max)
    slot["previous"] = np.where(agreement < 0, 0.0, g)
    return w - slot["step"] * np.sign(slot["previous"])
