"""Rules that see a tensor as a matrix: Adafactor, Muon, Shampoo."""

import math

import numpy as np

from tests.reference.adam_family import adamw
from tests.reference.stepping import average

EPSILON = float(np.finfo(float).eps)
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def adafactor(
    w, g, slot, t, *, lr, beta2_decay=-0.8, eps1=EPSILON, eps2=1e-3, d=1.0,
    weight_decay=0.0,
):  # fmt: skip
    """Shazeer & Stern 2018, arXiv:1804.04235, Algorithms 4 and 5 as torch.optim.Adafactor has them.

    torch bounds the variance below by `eps1^2` and the mean of its rows by `eps1`, where the paper
    adds `eps1` to every squared gradient; the relative step is `min(lr, t^-1/2)`.
    """
    new = t**beta2_decay
    size = max(eps2, math.sqrt((w**2).mean())) * min(lr, 1 / math.sqrt(t))
    w = (1 - lr * weight_decay) * w
    if g.ndim > 1:
        rows = average(slot, "rows", (g**2).mean(axis=-1, keepdims=True), 1 - new)
        columns = average(slot, "columns", (g**2).mean(axis=-2, keepdims=True), 1 - new)
        v = rows * columns / np.maximum(rows.mean(axis=-2, keepdims=True), eps1)
    else:
        v = average(slot, "v", g**2, 1 - new)
    update = g / np.sqrt(np.maximum(v, eps1**2))
    return w - size / max(1.0, math.sqrt((update**2).mean()) / d) * update


def muon(
    w, g, slot, t, *, lr, mu=0.95, weight_decay=0.1, nesterov=True, ns_steps=5,
    ns_coefficients=NEWTON_SCHULZ, eps=1e-7, adjust_lr_fn="original",
):  # fmt: skip
    """Jordan et al. 2024 as torch.optim.Muon has it, in float64 where torch casts to bfloat16.

    The buffer is an average, not the sum of torch's own documentation; for Newton-Schulz that
    only changes the scale of eps.
    """
    if w.ndim != 2:
        raise ValueError(f"Muon takes matrices, got a tensor of shape {w.shape}")
    buf = average(slot, "buf", g, mu)
    direction = (1 - mu) * g + mu * buf if nesterov else buf
    rows, columns = w.shape
    scale = {
        "original": math.sqrt(max(1.0, rows / columns)),
        "match_rms_adamw": 0.2 * math.sqrt(max(rows, columns)),
    }[adjust_lr_fn]
    orthogonal = newton_schulz(direction, ns_steps, ns_coefficients, eps)
    return (1 - lr * weight_decay) * w - lr * scale * orthogonal


def newton_schulz(matrix, steps, coefficients, eps):
    """Push the singular values of a matrix towards 1 by an odd polynomial of degree five."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / max(np.linalg.norm(x), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def muon_with_adamw(
    w, g, slot, t, *, lr, mu=0.95, weight_decay=0.1, nesterov=True, ns_steps=5,
    ns_coefficients=NEWTON_SCHULZ, eps=1e-7, adjust_lr_fn="original", adamw_lr, adamw_beta1=0.9,
    adamw_beta2=0.95, adamw_eps=1e-10, adamw_weight_decay=0.0,
):  # fmt: skip
    """Muon for matrices, AdamW for everything else."""
    if w.ndim == 2:
        return muon(
            w, g, slot, t, lr=lr, mu=mu, weight_decay=weight_decay, nesterov=nesterov,
            ns_steps=ns_steps, ns_coefficients=ns_coefficients, eps=eps,
            adjust_lr_fn=adjust_lr_fn,
        )  # fmt: skip
    return adamw(
        w, g, slot, t, lr=adamw_lr, beta1=adamw_beta1, beta2=adamw_beta2, eps=adamw_eps,
        weight_decay=adamw_weight_decay,
    )  # fmt: skip


def shampoo(w, g, slot, t, *, lr, eps=1e-4):
    """Gupta, Koren & Singer 2018, arXiv:1802.09568, Algorithms 1 and 2: no blocks, no momentum.

    One preconditioner `eps I + sum of G G^T` per dimension, to the power `-1 / (2 order)`:
    `-1/4` on both sides of a matrix, `-1/2` for a vector.
    """
    if t == 1:
        slot["sides"] = [eps * np.eye(n) for n in g.shape]
    step = g
    for axis, n in enumerate(g.shape):
        unfolded = np.moveaxis(g, axis, 0).reshape(n, -1)
        slot["sides"][axis] = slot["sides"][axis] + unfolded @ unfolded.T
        root = matrix_power(slot["sides"][axis], -1 / (2 * g.ndim))
        step = np.moveaxis(np.tensordot(root, step, axes=(1, axis)), 0, axis)
    return w - lr * step


def matrix_power(matrix, exponent):
    """Return a real power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * values**exponent @ vectors.T
