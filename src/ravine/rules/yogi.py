"""Yogi: Adam whose second moment changes by steps of limited size.

Source: Zaheer et al. 2018, "Adaptive Methods for Nonconvex Optimization", NeurIPS, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sign, sqrt

PAPER = "Zaheer et al. 2018, Adaptive Methods for Nonconvex Optimization, NeurIPS, Algorithm 2"
BOUNDS = {
    "beta1": "[0, 1)",
    "beta2": "[0, 1)",
    "eps": "[0, inf)",
    "initial_accumulator_value": "[0, inf)",
}
SPACE = {
    "lr": "log[1e-4, 1]",
    "beta1": "complement[0.8, 0.99]",
    "beta2": "complement[0.9, 0.9999]",
}


@rule(
    state=("m", "v"),
    convention="paper",
    differs="the paper's formula, whose start of the second moment, 0, can be set",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    codecs={"v": "root"},
    init={"v": ("initial_accumulator_value", 0.0)},
    paper=PAPER,
)
def yogi(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    lr: Any = 1e-2,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-3,
) -> Any:
    """Move the second moment towards the squared gradient, by a share of the latter."""
    m = beta1 * m + (1 - beta1) * g
    v = v - (1 - beta2) * sign(v - g**2) * g**2
    return w - lr * m / (sqrt(v) + eps), m, v


@rule(
    name="yogi",
    state=("m", "v"),
    convention="optax",
    differs="both moments start at 1e-6 and are corrected as Adam's",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "b1", "beta2": "b2", "lr": "learning_rate"},
    codecs={"v": "root"},
    init={
        "m": ("initial_accumulator_value", 1e-6),
        "v": ("initial_accumulator_value", 1e-6),
    },
    paper=PAPER,
)
def yogi_optax(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-2,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-3,
) -> Any:
    """Move the second moment towards the squared gradient, by a share of the latter."""
    m = beta1 * m + (1 - beta1) * g
    v = v - (1 - beta2) * sign(v - g**2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(v_hat) + eps), m, v


RULES = (yogi, yogi_optax)
