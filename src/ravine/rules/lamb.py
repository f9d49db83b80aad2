"""LAMB: Adam whose every layer moves by a share of its own size.

Source: You et al. 2020, arXiv:1904.00962, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import norm, sqrt
from ravine.rules.lars import trust_ratio


@rule(
    state=("m", "v"),
    convention="paper",
    differs="the size of the weights is not clipped, and a layer whose weights are all 0 moves by"
    " the update itself",
    bounds={
        "beta1": "[0, 1)",
        "beta2": "[0, 1)",
        "eps": "[0, inf)",
        "weight_decay": "[0, inf)",
    },
    space={
        "lr": "log[1e-4, 1]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.9, 0.9999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq"},
    codecs={"v": "root"},
    paper="You et al. 2020, arXiv:1904.00962, Algorithm 2",
)
def lamb(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-6,
    weight_decay: Any = 0.0,
) -> Any:
    """Scale Adam's update, decay included, to the size of the layer's weights."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    update = m_hat / (sqrt(v_hat) + eps) + weight_decay * w
    return w - lr * trust_ratio(norm(w, over="tensor"), norm(update, over="tensor")) * update, m, v


RULES = (lamb,)
