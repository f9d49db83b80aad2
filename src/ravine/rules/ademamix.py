"""AdEMAMix: Adam with a second, much slower running mean of the gradient.

Source: Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import exp, log, maximum, minimum, sqrt, where


def warm_beta(t: Any, start: Any, end: Any, steps: Any) -> Any:
    """Return a beta whose half-life grows evenly from that of ``start`` to that of ``end``."""
    # A beta of 0 has no logarithm; the 1e-8 that stands for it is that of the authors' code.
    first, last = (log(maximum(beta, 1e-8)) for beta in (start, end))
    share = minimum(t / maximum(steps, 1.0), 1.0)
    return where(t < steps, exp(first * last / ((1 - share) * last + share * first)), end)


@rule(
    state=("m", "slow", "v"),
    convention="paper",
    differs="warmup is one length for both schedules, of alpha and of beta3; 0, the default, is"
    " none",
    bounds={
        "beta1": "[0, 1)",
        "beta2": "[0, 1)",
        "beta3": "[0, 1)",
        "alpha": "[0, inf)",
        "eps": "[0, inf)",
        "warmup": "[0, inf)",
    },
    space={
        "lr": "log[1e-5, 1e-1]",
        "alpha": "linear[1, 10]",
        "beta3": "complement[0.99, 0.9999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]", "beta3": "betas[2]"},
    state_aliases={"m": "exp_avg_fast", "slow": "exp_avg_slow", "v": "exp_avg_sq"},
    codecs={"v": "root"},
    paper="Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137, Algorithm 1",
)
def ademamix(
    w: Any,
    g: Any,
    m: Any,
    slow: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    beta3: Any = 0.9999,
    alpha: Any = 5.0,
    eps: Any = 1e-8,
    warmup: Any = 0.0,
) -> Any:
    """Add a slow running mean, not corrected for its start at zero, to Adam's."""
    kept = warm_beta(t, beta1, beta3, warmup)
    weight = alpha * minimum(t / maximum(warmup, 1.0), 1.0)
    m = beta1 * m + (1 - beta1) * g
    slow = kept * slow + (1 - kept) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * (m_hat + weight * slow) / (sqrt(v_hat) + eps), m, slow, v


RULES = (ademamix,)
