"""AdaBelief: Adam whose second moment is the gradient's squared distance from its running mean.

Source: Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt


@rule(
    state=("m", "s"),
    convention="paper",
    differs="eps 1e-16, as in the authors' package, which also rectifies unless told; added to s"
    " at every step, so that it accumulates, and once more outside the root",
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"},
    space={
        "lr": "log[1e-5, 1e-1]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.9, 0.9999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "s": "exp_avg_var"},
    codecs={"s": "root"},
    paper="Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2",
)
def adabelief(
    w: Any,
    g: Any,
    m: Any,
    s: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-16,
) -> Any:
    """Divide the running mean of the gradient by the root mean square of its surprises."""
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(s_hat) + eps), m, s


RULES = (adabelief,)
