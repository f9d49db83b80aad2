"""Gradient descent; stochastic when the gradient is a mini-batch's.

Source: Robbins & Monro 1951, doi:10.1214/aoms/1177729586.
"""

from typing import Any

from ravine.rules._rule import rule


@rule(
    convention="torch",
    differs="the formula every source shares",
    space={"lr": "log[1e-3, 10]"},
    paper="Robbins & Monro 1951, doi:10.1214/aoms/1177729586",
)
def sgd(w: Any, g: Any, *, lr: Any = 1e-3) -> Any:
    """Step against the gradient."""
    return w - lr * g


sgd_lecture = sgd.variant("lecture", "the same formula, with lr written eta", aliases={"lr": "eta"})

RULES = (sgd, sgd_lecture)
