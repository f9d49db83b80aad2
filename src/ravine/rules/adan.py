"""Adan: Adam with Nesterov's momentum, estimated from differences of gradients.

Source: Xie et al. 2022, arXiv:2208.06677, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt, where


@rule(
    state=("m", "change", "v", "previous"),
    convention="paper",
    differs="as in the authors' package: bias is corrected, and a beta is the share that is kept"
    " (the paper's is the share that is new)",
    bounds={
        "beta1": "[0, 1)",
        "beta2": "[0, 1)",
        "beta3": "[0, 1)",
        "eps": "[0, inf)",
        "weight_decay": "[0, inf)",
    },
    space={
        "lr": "log[1e-5, 1e-1]",
        "beta1": "complement[0.9, 0.99]",
        "beta2": "complement[0.8, 0.99]",
        "beta3": "complement[0.9, 0.999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]", "beta3": "betas[2]"},
    state_aliases={"m": "exp_avg", "change": "exp_avg_diff", "v": "exp_avg_sq"},
    codecs={"v": "root"},
    paper="Xie et al. 2022, arXiv:2208.06677, Algorithm 1",
)
def adan(
    w: Any,
    g: Any,
    m: Any,
    change: Any,
    v: Any,
    previous: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.98,
    beta2: Any = 0.92,
    beta3: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
) -> Any:
    """Step along the mean gradient and its mean change, then shrink by 1 + lr weight_decay."""
    new = where(t > 1, g - previous, 0.0)
    m = beta1 * m + (1 - beta1) * g
    change = beta2 * change + (1 - beta2) * new
    v = beta3 * v + (1 - beta3) * (g + beta2 * new) ** 2
    m_hat = m / (1 - beta1**t)
    change_hat = change / (1 - beta2**t)
    v_hat = v / (1 - beta3**t)
    w = w - lr * (m_hat + beta2 * change_hat) / (sqrt(v_hat) + eps)
    return w / (1 + lr * weight_decay), m, change, v, g


RULES = (adan,)
