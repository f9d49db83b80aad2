"""AMSGrad: Adam whose second moment never falls.

Source: Reddi, Kale & Kumar 2018, arXiv:1904.09237, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, sqrt


@rule(
    state=("m", "v", "v_max"),
    convention="torch",
    differs="the maximum is taken before bias correction, which the paper does not have",
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"},
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"},
    paper="Reddi, Kale & Kumar 2018, arXiv:1904.09237, Algorithm 2",
)
def amsgrad(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    v_max: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> Any:
    """Divide the running mean of the gradient by the root of its largest mean square so far."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    v_max = maximum(v_max, v)
    m_hat = m / (1 - beta1**t)
    v_hat = v_max / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(v_hat) + eps), m, v, v_max


RULES = (amsgrad,)
