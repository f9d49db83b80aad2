"""AMSGrad: Adam whose second moment never falls.

Source: Reddi, Kale & Kumar 2018, arXiv:1904.09237, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, sqrt
from ravine.rules.adam import BOUNDS, SPACE

PAPER = "Reddi, Kale & Kumar 2018, arXiv:1904.09237, Algorithm 2"


@rule(
    state=("m", "v", "v_max"),
    convention="torch",
    differs="the maximum is taken before bias correction, which the paper does not have",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"},
    codecs={"v": "root", "v_max": "root"},
    paper=PAPER,
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


@rule(
    name="amsgrad",
    state=("m", "v", "v_max"),
    convention="paper",
    differs="bias is not corrected; eps, which the paper does not have, is outside the root",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    codecs={"v": "root", "v_max": "root"},
    paper=PAPER,
)
def amsgrad_paper(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    v_max: Any,
    *,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> Any:
    """Divide the running mean of the gradient by the root of its largest mean square so far."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    v_max = maximum(v_max, v)
    return w - lr * m / (sqrt(v_max) + eps), m, v, v_max


@rule(
    name="amsgrad",
    state=("m", "v", "v_max"),
    convention="optax",
    differs="the maximum is taken after bias correction",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "b1", "beta2": "b2", "lr": "learning_rate"},
    codecs={"v": "root", "v_max": "root"},
    paper=PAPER,
)
def amsgrad_optax(
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
    m_hat = m / (1 - beta1**t)
    v_max = maximum(v_max, v / (1 - beta2**t))
    return w - lr * m_hat / (sqrt(v_max) + eps), m, v, v_max


RULES = (amsgrad, amsgrad_paper, amsgrad_optax)
