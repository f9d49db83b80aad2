"""Rules that scale every tensor by a norm of its own: NovoGrad, LARS, LAMB."""

import numpy as np
from numpy.linalg import norm

from tests.reference.stepping import average


def novograd(w, g, slot, t, *, lr, beta1=0.95, beta2=0.98, eps=1e-8, weight_decay=0.0):
    """Ginsburg et al. 2019, arXiv:1905.11286, Algorithm 1: `v` starts at the first norm squared.

    The first moment is a sum with factor 1 on the new term, not an average.
    """
    square = (g**2).sum()
    slot["v"] = square if t == 1 else beta2 * slot["v"] + (1 - beta2) * square
    new = g / (np.sqrt(slot["v"]) + eps) + weight_decay * w
    slot["m"] = beta1 * slot.get("m", np.zeros_like(g)) + new
    return w - lr * slot["m"]


def lars(w, g, slot, t, *, lr, mu=0.9, trust_coefficient=1e-3, weight_decay=0.0):
    """You, Gitman & Ginsburg 2017, arXiv:1708.03888, Algorithm 1: the rate is in the velocity.

    The paper leaves open a norm of zero; the local rate is then 1.
    """
    size, slope = norm(w.ravel()), norm(g.ravel())
    local = (
        trust_coefficient * size / (slope + weight_decay * size) if size > 0 and slope > 0 else 1.0
    )
    step = lr * local * (g + weight_decay * w)
    slot["v"] = mu * slot.get("v", np.zeros_like(g)) + step
    return w - slot["v"]


def lamb(w, g, slot, t, *, lr, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
    """You et al. 2020, arXiv:1904.00962, Algorithm 2 with the identity for phi.

    The ratio of norms is 1 where one of them is zero.
    """
    m_hat = average(slot, "m", g, beta1) / (1 - beta1**t)
    v_hat = average(slot, "v", g**2, beta2) / (1 - beta2**t)
    direction = m_hat / (np.sqrt(v_hat) + eps) + weight_decay * w
    size, length = norm(w.ravel()), norm(direction.ravel())
    ratio = size / length if size > 0 and length > 0 else 1.0
    return w - lr * ratio * direction
