"""ADOPT: Adam whose gradient is normalised by the second moment before it, then averaged.

Source: Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2 (its final version, with clipping).
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, minimum, sqrt, where


@rule(
    state=("m", "v"),
    convention="paper",
    differs="the paper's step 0, which only starts v at the squared gradient, is step 1 here",
    # At eps = 0 the first step would divide by the second moment before it, which is 0.
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "(0, inf)"},
    space={
        "lr": "log[1e-5, 1e-1]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.99, 0.99999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq"},
    codecs={"v": "root"},
    paper="Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2",
)
def adopt(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.9999,
    eps: Any = 1e-6,
) -> Any:
    """Average gradients that are divided by the root mean square of those before them."""
    # The paper's clip: it is 0 at the first step, which therefore does not move, and then grows
    # slowly enough to tame the first gradients without biasing the later ones.
    limit = (t - 1) ** 0.25
    normed = maximum(minimum(g / maximum(sqrt(v), eps), limit), -limit)
    m = beta1 * m + (1 - beta1) * normed
    v = where(t > 1, beta2 * v + (1 - beta2) * g**2, g**2)
    return w - lr * m, m, v


RULES = (adopt,)
