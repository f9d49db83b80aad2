"""Adadelta: steps in the units of the weights.

Source: Zeiler 2012, arXiv:1212.5701, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt


@rule(
    state=("v", "u"),
    convention="torch",
    differs="rho 0.9, and a learning rate of 1 that the paper does not have",
    bounds={"rho": "[0, 1]", "eps": "[0, inf)"},
    space={"lr": "log[1e-2, 100]", "rho": "complement[0.8, 0.99]"},
    state_aliases={"v": "square_avg", "u": "acc_delta"},
    codecs={"v": "root", "u": "root"},
    paper="Zeiler 2012, arXiv:1212.5701, Algorithm 1",
)
def adadelta(
    w: Any, g: Any, v: Any, u: Any, *, lr: Any = 1.0, rho: Any = 0.9, eps: Any = 1e-6
) -> Any:
    """Scale the gradient by the ratio of the root mean squares of past steps and gradients."""
    v = rho * v + (1 - rho) * g**2
    step = sqrt(u + eps) / sqrt(v + eps) * g
    u = rho * u + (1 - rho) * step**2
    return w - lr * step, v, u


adadelta_lecture = adadelta.variant(
    "lecture",
    "the paper's rho 0.95, with lr left at 1",
    hypers={"rho": 0.95},
    aliases={"lr": "eta"},
)

RULES = (adadelta, adadelta_lecture)
