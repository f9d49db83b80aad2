"""Adam: momentum and RMSProp, both corrected for their start at zero.

Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt


@rule(
    state=("m", "v"),
    convention="torch",
    differs="the paper's Algorithm 1: eps outside the root, after bias correction",
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"},
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq"},
    paper="Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1",
)
def adam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> Any:
    """Divide the running mean of the gradient by the root of its running mean square."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(v_hat) + eps), m, v


adam_lecture = adam.variant(
    "lecture", "the same formula and defaults, with lr written eta", aliases={"lr": "eta"}
)

RULES = (adam, adam_lecture)
