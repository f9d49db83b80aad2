"""Rules that divide by a root of squared gradients, without Adam's bias correction."""

import numpy as np

from tests.reference import rules
from tests.reference.stepping import average


def adagrad(w, g, slot, t, *, lr, lr_decay=0.0, eps=1e-10, initial_accumulator_value=0.0):
    """Duchi, Hazan & Singer 2011 as torch.optim.Adagrad has it."""
    slot.setdefault("v", np.full_like(w, initial_accumulator_value))
    return rules.adagrad(w, g, slot, t, lr, lr_decay=lr_decay, eps=eps)


def adagrad_lecture(w, g, slot, t, *, lr, eps=1e-8):
    """The same sum, without decay of the rate."""
    return rules.adagrad(w, g, slot, t, lr, eps=eps)


def adadelta(w, g, slot, t, *, lr, rho=0.9, eps=1e-6):
    """Zeiler 2012, arXiv:1212.5701, Algorithm 1, times a rate."""
    return rules.adadelta(w, g, slot, t, lr, rho=rho, eps=eps)


def rmsprop(w, g, slot, t, *, lr, beta=0.99, eps=1e-8):
    """Tieleman & Hinton 2012, lecture 6.5, with eps outside the root."""
    return rules.torch_rmsprop(w, g, slot, t, lr, alpha=beta, eps=eps)


def rmsprop_centred(w, g, slot, t, *, lr, beta=0.99, eps=1e-8):
    """Graves 2013, arXiv:1308.0850, equations 38-45, with torch's eps outside the root."""
    return w - lr * _scaled(g, slot, beta, eps, centred=True)


def rmsprop_momentum(w, g, slot, t, *, lr, beta=0.99, eps=1e-8, mu=0.9):
    """A velocity of scaled gradients, the rate outside, as torch.optim.RMSprop has it."""
    return w - lr * _velocity(_scaled(g, slot, beta, eps, centred=False), slot, mu)


def rmsprop_centred_momentum(w, g, slot, t, *, lr, beta=0.99, eps=1e-8, mu=0.9):
    """Both: a velocity of gradients over their standard deviation."""
    return w - lr * _velocity(_scaled(g, slot, beta, eps, centred=True), slot, mu)


def _scaled(g, slot, beta, eps, *, centred):
    square = average(slot, "v", g**2, beta)
    if centred:
        square = square - average(slot, "a", g, beta) ** 2
    return g / (np.sqrt(square) + eps)


def _velocity(scaled, slot, mu):
    slot["b"] = mu * slot.get("b", np.zeros_like(scaled)) + scaled
    return slot["b"]
