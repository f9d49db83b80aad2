"""Adamax: Adam with the largest recent gradient in place of the root mean square.

Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import absolute, maximum


@rule(
    state=("m", "u"),
    convention="torch",
    differs="eps is added to every |g| before the maximum; the paper has none and divides by 0"
    " where all gradients were 0",
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"},
    space={
        "lr": "log[1e-5, 1e-1]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.9, 0.9999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "u": "exp_inf"},
    codecs={"u": "root"},
    paper="Kingma & Ba 2015, arXiv:1412.6980, Algorithm 2",
)
def adamax(
    w: Any,
    g: Any,
    m: Any,
    u: Any,
    *,
    t: Any,
    lr: Any = 2e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> Any:
    """Divide the running mean of the gradient by its decaying largest magnitude."""
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, absolute(g) + eps)
    return w - lr / (1 - beta1**t) * m / u, m, u


RULES = (adamax,)
