"""Adam: momentum and RMSProp, both corrected for their start at zero.

Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt

PAPER = "Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1"
BOUNDS = {"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"}
SPACE = {
    "lr": "log[1e-5, 1e-1]",
    "beta1": "complement[0.8, 0.99]",
    "beta2": "complement[0.9, 0.9999]",
}


@rule(
    state=("m", "v"),
    convention="torch",
    differs="the paper's Algorithm 1: eps outside the root, after bias correction",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq"},
    codecs={"v": "root"},
    paper=PAPER,
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


@rule(
    name="adam",
    state=("m", "v"),
    convention="tensorflow",
    differs="eps 1e-7, added to the root before bias correction: the paper's epsilon hat",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "beta_1", "beta2": "beta_2", "eps": "epsilon", "lr": "learning_rate"},
    codecs={"v": "root"},
    paper="Kingma & Ba 2015, arXiv:1412.6980, end of section 2",
)
def adam_tensorflow(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-7,
) -> Any:
    """Divide the running mean of the gradient by its root mean square, then correct both."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    rate = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
    return w - rate * m / (sqrt(v) + eps), m, v


@rule(
    name="adam",
    state=("m", "v"),
    convention="optax",
    differs="a second eps_root inside the root, 0 unless told",
    bounds=BOUNDS | {"eps_root": "[0, inf)"},
    space=SPACE,
    aliases={"beta1": "b1", "beta2": "b2", "lr": "learning_rate"},
    codecs={"v": "root"},
    paper=PAPER,
)
def adam_optax(
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
    eps_root: Any = 0.0,
) -> Any:
    """Divide the running mean of the gradient by the root of its running mean square."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(v_hat + eps_root) + eps), m, v


adam_lecture = adam.variant(
    "lecture", "the same formula and defaults, with lr written eta", aliases={"lr": "eta"}
)

RULES = (adam, adam_lecture, adam_tensorflow, adam_optax)
