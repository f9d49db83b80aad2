"""Lion, Adan, ADOPT and AdEMAMix, from their papers and their authors' code."""

import math

import numpy as np

from tests.reference.stepping import average


def lion(w, g, slot, t, *, lr, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """Chen et al. 2023, arXiv:2302.06675, Algorithm 2: the decay is scaled by the rate."""
    m = slot.get("m", np.zeros_like(g))
    direction = np.sign(beta1 * m + (1 - beta1) * g) + weight_decay * w
    slot["m"] = beta2 * m + (1 - beta2) * g
    return w - lr * direction


def adan(w, g, slot, t, *, lr, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8, weight_decay=0.0):
    """Xie et al. 2022, arXiv:2208.06677, Algorithm 1 as the authors' code has it.

    The betas keep the old value (the paper writes one minus them); all three averages start at
    zero and are corrected for it; the first difference is zero; the decay is the proximal one.
    """
    difference = g - slot.get("previous", g)
    slot["previous"] = g
    m_hat = average(slot, "m", g, beta1) / (1 - beta1**t)
    v_hat = average(slot, "v", difference, beta2) / (1 - beta2**t)
    n_hat = average(slot, "n", (g + beta2 * difference) ** 2, beta3) / (1 - beta3**t)
    step = lr * (m_hat + beta2 * v_hat) / (np.sqrt(n_hat) + eps)
    return (w - step) / (1 + lr * weight_decay)


def adopt(w, g, slot, t, *, lr, beta1=0.9, beta2=0.9999, eps=1e-6):
    """Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2 of the final version.

    The first gradient only starts `v`; the k-th of those after it is clipped at `k^(1/4)` once
    divided by the root of the `v` before it.
    """
    if t == 1:
        slot["v"] = g**2
        return w
    largest = (t - 1) ** 0.25
    scaled = np.clip(g / np.maximum(np.sqrt(slot["v"]), eps), -largest, largest)
    slot["v"] = beta2 * slot["v"] + (1 - beta2) * g**2
    return w - lr * average(slot, "m", scaled, beta1)


def ademamix(
    w,
    g,
    slot,
    t,
    *,
    lr,
    beta1=0.9,
    beta2=0.999,
    beta3=0.9999,
    alpha=5.0,
    eps=1e-8,
    warmup=0,
    weight_decay=0.0,
):
    """Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137, Algorithm 1 with its schedulers.

    Over `warmup` steps `alpha` rises linearly from 0, and `beta3` from `beta1`, linearly in the
    half-life of the average. 0 steps: no warm-up.
    """
    if t < warmup:
        done, low, high = t / warmup, math.log(beta1), math.log(beta3)
        alpha *= done
        beta3 = math.exp(low * high / ((1 - done) * high + done * low))
    fast = average(slot, "m1", g, beta1) / (1 - beta1**t)
    slow = average(slot, "m2", g, beta3)
    root = np.sqrt(average(slot, "v", g**2, beta2) / (1 - beta2**t))
    return w - lr * ((fast + alpha * slow) / (root + eps) + weight_decay * w)
