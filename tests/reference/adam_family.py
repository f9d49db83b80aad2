"""Adam and the rules that change one thing in it."""

import numpy as np

from tests.reference import rules
from tests.reference.stepping import average


def adam(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1."""
    return rules.adam(w, g, slot, t, lr, beta1=beta1, beta2=beta2, eps=eps)


def adamw(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
    """Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2, the decay times the rate."""
    return adam(w - lr * weight_decay * w, g, slot, t, lr=lr, beta1=beta1, beta2=beta2, eps=eps)


def amsgrad(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Reddi, Kale & Kumar 2018, arXiv:1904.09237, with torch's bias correction of the maximum."""
    m = average(slot, "m", g, beta1)
    v = average(slot, "v", g**2, beta2)
    slot["v_max"] = np.maximum(slot.get("v_max", v), v)
    root = np.sqrt(slot["v_max"] / (1 - beta2**t))
    return w - lr * (m / (1 - beta1**t)) / (root + eps)


def adamax(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma & Ba 2015, Algorithm 2; torch adds eps to `|g|` inside the maximum."""
    m = average(slot, "m", g, beta1)
    slot["u"] = np.maximum(beta2 * slot.get("u", np.zeros_like(g)), np.abs(g) + eps)
    return w - lr / (1 - beta1**t) * m / slot["u"]


def nadam(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3):
    """Dozat 2016, Algorithm 8 of the report, with its warming schedule of the momentum."""
    mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    slot["product"] = slot.get("product", 1.0) * mu
    m = average(slot, "m", g, beta1)
    v = average(slot, "v", g**2, beta2)
    m_bar = mu_next * m / (1 - slot["product"] * mu_next) + (1 - mu) * g / (1 - slot["product"])
    return w - lr * m_bar / (np.sqrt(v / (1 - beta2**t)) + eps)


def radam(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Liu et al. 2020, arXiv:1908.03265, Algorithm 2; torch rectifies from a length above 5.

    torch adds eps to the root before bias correction; the paper has no eps, and the threshold 4.
    """
    m_hat = average(slot, "m", g, beta1) / (1 - beta1**t)
    v = average(slot, "v", g**2, beta2)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if length <= 5:
        return w - lr * m_hat
    over, under = (length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2) * length
    adaptive = np.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
    return w - lr * np.sqrt(over / under) * m_hat * adaptive


def adabelief(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-16):
    """Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2: eps enters the running belief too."""
    m = average(slot, "m", g, beta1)
    slot["s"] = average(slot, "s", (g - m) ** 2, beta2) + eps
    s_hat = slot["s"] / (1 - beta2**t)
    return w - lr * (m / (1 - beta1**t)) / (np.sqrt(s_hat) + eps)


def yogi(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-3, initial_accumulator_value=0.0):
    """Zaheer et al. 2018, NeurIPS 31, Algorithm 2: no bias correction."""
    m = average(slot, "m", g, beta1)
    v = slot.get("v", np.full_like(g, initial_accumulator_value))
    slot["v"] = v - (1 - beta2) * np.sign(v - g**2) * g**2
    return w - lr * m / (np.sqrt(slot["v"]) + eps)
