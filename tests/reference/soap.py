"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Source: Vyas et al. 2024, arXiv:2409.11321, Algorithm 3, as the authors' code has it (no merging
of dimensions, no limit on their size, vectors without a preconditioner).
"""

import math

import numpy as np


def soap(
    w, g, slot, t, *, lr, beta1=0.95, beta2=0.95, shampoo_beta=None, eps=1e-8, weight_decay=0.0,
    precondition_frequency=10,
):  # fmt: skip
    """Adam with its first moment in the weights' basis and its second in the eigenbasis.

    The first gradient only starts the basis. The later ones move the weights in the basis of
    those before them, and then enter it; every `precondition_frequency` such steps the basis is
    refreshed by one power iteration and a QR. The decay is last: it shrinks the moved weights.
    `shampoo_beta` None is `beta2`.
    """
    shampoo_beta = beta2 if shampoo_beta is None else shampoo_beta
    if t == 1:
        zeros = np.zeros_like(g)
        slot |= {"m": zeros, "v": zeros, "sides": [np.zeros((n, n)) for n in _turned(g)]}
        _accumulate(slot, g, shampoo_beta)
        slot["bases"] = [np.linalg.eigh(side)[1][:, ::-1] for side in slot["sides"]]
        return w
    k = t - 1  # steps that moved the weights, this one included
    slot["m"] = beta1 * slot["m"] + (1 - beta1) * g
    slot["v"] = beta2 * slot["v"] + (1 - beta2) * _turn(g, slot["bases"]) ** 2
    rate = lr * math.sqrt(1 - beta2**k) / (1 - beta1**k)
    direction = _turn(slot["m"], slot["bases"]) / (np.sqrt(slot["v"]) + eps)
    w = w - rate * _turn(direction, [basis.T for basis in slot["bases"]])
    w = w - lr * weight_decay * w
    _accumulate(slot, g, shampoo_beta)
    if k % precondition_frequency == 0:
        for axis in range(len(slot["bases"])):
            _refresh(slot, axis)
    return w


def _turned(g):
    """The dimensions that get a basis: none of a vector."""
    return g.shape if g.ndim > 1 else ()


def _turn(x, bases):
    """Write `x` in the bases: `Q^T x` along every dimension."""
    for axis, basis in enumerate(bases):
        x = np.moveaxis(np.tensordot(basis.T, x, axes=(1, axis)), 0, axis)
    return x


def _accumulate(slot, g, beta):
    for axis, n in enumerate(_turned(g)):
        unfolded = np.moveaxis(g, axis, 0).reshape(n, -1)
        slot["sides"][axis] = beta * slot["sides"][axis] + (1 - beta) * unfolded @ unfolded.T


def _refresh(slot, axis):
    """Reorder one basis by falling eigenvalue, `v` with it, and improve it by one iteration."""
    side, basis = slot["sides"][axis], slot["bases"][axis]
    order = np.argsort(-np.einsum("ij,ij->j", basis, side @ basis), kind="stable")
    slot["v"] = np.take(slot["v"], order, axis=axis)
    slot["bases"][axis] = np.linalg.qr(side @ basis[:, order])[0]
