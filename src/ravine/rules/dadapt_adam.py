"""D-Adaptation, Adam: the distance to the solution is estimated, and with it the rate.

Source: Defazio & Mishchenko 2023, arXiv:2301.07733.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import absolute, maximum, minimum, sqrt, total
from ravine.rules.dadapt_sgd import TINY, UNLIMITED


@rule(
    state=("m", "v", "s"),
    scalars={"d": "member", "numerator": "member"},
    convention="paper",
    differs="as version 3.2 of the authors' package, without bias correction",
    bounds={
        "beta1": "[0, 1)",
        "beta2": "[0, 1)",
        "eps": "(0, inf)",  # the first product with s divides by the root of a v of 0
        "d0": "(0, inf)",
        "growth_rate": "[1, inf)",
    },
    space={
        "lr": "log[0.1, 10]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.9, 0.9999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq", "s": "s"},
    codecs={"v": "root"},
    init={"d": ("d0", 1e-6)},
    paper="Defazio & Mishchenko 2023, arXiv:2301.07733",
)
def dadapt_adam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    s: Any,
    d: Any,
    numerator: Any,
    *,
    lr: Any = 1.0,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
    growth_rate: Any = UNLIMITED,
) -> Any:
    """Take Adam's step at the rate d, a lower bound of the distance to go."""
    kept = sqrt(beta2)
    product = d * total(lr * g * s / (sqrt(v) + eps), over="member")
    numerator = kept * numerator + (1 - kept) * product
    m = beta1 * m + d * lr * (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    s = kept * s + d * lr * (1 - kept) * g
    size = total(absolute(s), over="member")
    estimate = numerator / ((1 - kept) * maximum(size, TINY))
    d = maximum(d, minimum(estimate, d * growth_rate))
    return w - m / (sqrt(v) + eps), m, v, s, d, numerator


RULES = (dadapt_adam,)
