"""Prodigy: D-Adaptation whose estimate of the distance grows faster.

Source: Mishchenko & Defazio 2024, arXiv:2306.06101.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import absolute, maximum, minimum, sqrt, total, where
from ravine.rules.dadapt_sgd import TINY, UNLIMITED


@rule(
    state=("m", "v", "s", "w0"),
    scalars={"d": "member", "d_max": "member", "numerator": "member"},
    convention="paper",
    differs="as version 1.1.2 of the authors' package at its defaults: no bias correction, lr in"
    " the denominator of the estimate, decay by d lr weight_decay",
    bounds={
        "beta1": "[0, 1)",
        "beta2": "[0, 1)",
        "beta3": "[0, 1)",
        "eps": "(0, inf)",
        "weight_decay": "[0, inf)",
        "d0": "(0, inf)",
        "d_coef": "(0, inf)",
        "growth_rate": "[1, inf)",
    },
    space={
        "lr": "log[0.1, 10]",
        "d_coef": "log[0.25, 4]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.9, 0.9999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq", "s": "s", "w0": "p0"},
    codecs={"v": "root"},
    init={"w0": "w", "d": ("d0", 1e-6), "d_max": ("d0", 1e-6)},
    paper="Mishchenko & Defazio 2024, arXiv:2306.06101",
)
def prodigy(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    s: Any,
    w0: Any,
    d: Any,
    d_max: Any,
    numerator: Any,
    *,
    lr: Any = 1.0,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    beta3: Any = 0.0,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    d0: Any = 1e-6,
    d_coef: Any = 1.0,
    growth_rate: Any = UNLIMITED,
) -> Any:
    """Take Adam's step at the rate d, an estimate of the distance to go that never falls."""
    beta3 = where(beta3 > 0, beta3, sqrt(beta2))  # as in the package, unless one is given
    # d / d0 and not d: both sides of the quotient below would be tiny.
    scale = d / d0 * d
    numerator = beta3 * numerator + scale * total(lr * g * (w0 - w), over="member")
    m = beta1 * m + d * (1 - beta1) * g
    v = beta2 * v + d**2 * (1 - beta2) * g**2
    s = beta3 * s + scale * lr * g
    estimate = d_coef * numerator / maximum(total(absolute(s), over="member"), TINY)
    # As in the package, the first estimate above d0 is taken whole: growth_rate limits later ones.
    left = where(d > d0, d, maximum(d, estimate))
    d_max = maximum(d_max, estimate)
    grown = minimum(d_max, left * growth_rate)
    w = w - d * lr * (weight_decay * w + m / (sqrt(v) + grown * eps))
    return w, m, v, s, w0, grown, d_max, numerator


RULES = (prodigy,)
