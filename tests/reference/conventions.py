"""Other libraries' and papers' forms of rules that `torch.optim` writes its own way.

Sources beside the papers: optax 0.2.8 (`optax`), TensorFlow's Adam (`tensorflow`), apex'
FusedNovoGrad (`nvidia`).
"""

import numpy as np
from numpy.linalg import norm

from tests.reference.stepping import average


def signum(w, g, slot, t, *, lr, beta=0.9):
    """Bernstein et al. 2018, arXiv:1802.04434, Algorithm 2."""
    return w - lr * np.sign(average(slot, "m", g, beta))


def rprop_paper(w, g, slot, t, *, lr, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50.0):
    """Riedmiller & Braun 1993: after a sign change the last move is taken back."""
    agreement = g * slot.get("previous", np.zeros_like(g))
    size = slot.get("size", np.full_like(w, lr))
    grown, shrunk = np.minimum(size * eta_plus, step_max), np.maximum(size * eta_minus, step_min)
    slot["size"] = size = np.select([agreement > 0, agreement < 0], [grown, shrunk], size)
    back = agreement < 0
    move = np.where(back, -slot.get("move", np.zeros_like(w)), -np.sign(g) * size)
    slot["move"], slot["previous"] = move, np.where(back, 0.0, g)
    return w + move


def adagrad_optax(w, g, slot, t, *, lr, eps=1e-7, initial_accumulator_value=0.1):
    """eps inside the root; no move where the sum is still zero."""
    v = slot["v"] = slot.get("v", np.full_like(g, initial_accumulator_value)) + g**2
    return w - lr * np.where(v > 0, g / np.sqrt(np.where(v > 0, v + eps, 1.0)), 0.0)


def rmsprop_optax(w, g, slot, t, *, lr, beta=0.9, eps=1e-8):
    """eps inside the root."""
    return w - lr * g / np.sqrt(average(slot, "v", g**2, beta) + eps)


def adam_tensorflow(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-7):
    """The order of the paper's section 2: eps beside the root that is not yet corrected."""
    m, v = average(slot, "m", g, beta1), average(slot, "v", g**2, beta2)
    rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return w - rate * m / (np.sqrt(v) + eps)


def adam_optax(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, eps_root=0.0):
    """A second eps inside the root."""
    m_hat = average(slot, "m", g, beta1) / (1 - beta1**t)
    v_hat = average(slot, "v", g**2, beta2) / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat + eps_root) + eps)


def amsgrad_paper(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Reddi, Kale & Kumar 2018, Algorithm 2: no bias correction; eps is not the paper's."""
    m, v = average(slot, "m", g, beta1), average(slot, "v", g**2, beta2)
    slot["v_max"] = np.maximum(slot.get("v_max", np.zeros_like(v)), v)
    return w - lr * m / (np.sqrt(slot["v_max"]) + eps)


def amsgrad_optax(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """The maximum of second moments already corrected."""
    m_hat = average(slot, "m", g, beta1) / (1 - beta1**t)
    v_hat = average(slot, "v", g**2, beta2) / (1 - beta2**t)
    slot["v_max"] = np.maximum(slot.get("v_max", np.zeros_like(v_hat)), v_hat)
    return w - lr * m_hat / (np.sqrt(slot["v_max"]) + eps)


def nadam_paper(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3):
    """Dozat 2016, Algorithm 2: the scheduled momentum is in the average as well.

    `v` is corrected as Adam's; the paper has one more factor beta2 there.
    """
    mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    slot["product"] = slot.get("product", 1.0) * mu
    m, v = average(slot, "m", g, mu), average(slot, "v", g**2, beta2)
    m_bar = mu_next * m / (1 - slot["product"] * mu_next) + (1 - mu) * g / (1 - slot["product"])
    return w - lr * m_bar / (np.sqrt(v / (1 - beta2**t)) + eps)


def nadam_optax(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """The momentum is beta1 at every step."""
    m, v = average(slot, "m", g, beta1), average(slot, "v", g**2, beta2)
    m_bar = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
    return w - lr * m_bar / (np.sqrt(v / (1 - beta2**t)) + eps)


def radam_paper(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, threshold=4.0):
    """Liu et al. 2020, Algorithm 2: rectified above a length of 4; eps is not the paper's."""
    return _rectified(w, g, slot, t, lr, beta1, beta2, eps, lambda length: length > threshold)


def radam_optax(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, threshold=5.0):
    """Rectified from a length of 5 on."""
    return _rectified(w, g, slot, t, lr, beta1, beta2, eps, lambda length: length >= threshold)


def _rectified(w, g, slot, t, lr, beta1, beta2, eps, tractable):
    m_hat = average(slot, "m", g, beta1) / (1 - beta1**t)
    v_hat = average(slot, "v", g**2, beta2) / (1 - beta2**t)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if not tractable(length):
        return w - lr * m_hat
    numerator = (length - 4) * (length - 2) * longest
    ratio = np.sqrt(numerator / ((longest - 4) * (longest - 2) * length))
    return w - lr * ratio * m_hat / (np.sqrt(v_hat) + eps)


def yogi_optax(
    w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-3, initial_accumulator_value=1e-6
):
    """Both moments start at the same number and are corrected as if they started at zero."""
    m = average(slot, "m", g, beta1, initial_accumulator_value)
    v = slot.get("v", np.full_like(g, initial_accumulator_value))
    v = slot["v"] = v - (1 - beta2) * np.sign(v - g**2) * g**2
    return w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)


def novograd_nvidia(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Gradients are averaged undivided, and corrected; the norm is corrected, too."""
    square = (g**2).sum()
    slot["v"] = square if t == 1 else beta2 * slot["v"] + (1 - beta2) * square
    m_hat = average(slot, "m", g, beta1) / (1 - beta1**t)
    length = np.sqrt(slot["v"] / (1 - beta2**t)) + eps
    return w - lr * (m_hat / length + weight_decay * w)


def lars_nesterov(w, g, slot, t, *, lr, mu=0.9, trust_coefficient=1e-3, weight_decay=0.0):
    """The paper's local rate with Nesterov's look-ahead."""
    size, slope = norm(w.ravel()), norm(g.ravel())
    open_case = size == 0 or slope == 0
    local = 1.0 if open_case else trust_coefficient * size / (slope + weight_decay * size)
    return _look_ahead(w, lr * local * (g + weight_decay * w), slot, mu, nesterov=True)


def lars_optax(w, g, slot, t, *, lr, mu=0.9, trust_coefficient=1e-3, weight_decay=0.0):
    """The weights' norm over that of the decayed gradient."""
    g = g + weight_decay * w
    size, slope = norm(w.ravel()), norm(g.ravel())
    local = trust_coefficient * size / slope if size > 0 and slope > 0 else 1.0
    return _look_ahead(w, lr * local * g, slot, mu, nesterov=False)


def _look_ahead(w, step, slot, mu, *, nesterov):
    slot["v"] = mu * slot.get("v", np.zeros_like(w)) + step
    return w - (step + mu * slot["v"] if nesterov else slot["v"])
