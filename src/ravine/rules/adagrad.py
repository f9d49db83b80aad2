"""AdaGrad: each weight's rate falls with the gradients it has seen.

Source: Duchi, Hazan & Singer 2011, JMLR 12:2121-2159.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt

PAPER = "Duchi, Hazan & Singer 2011, JMLR 12:2121-2159"
SPACE = {"lr": "log[1e-4, 1]"}


@rule(
    state=("v",),
    convention="torch",
    differs="eps 1e-10; the rate may also decay with t; the accumulator's start is settable",
    bounds={"eps": "[0, inf)", "lr_decay": "[0, inf)", "initial_accumulator_value": "[0, inf)"},
    space=SPACE,
    state_aliases={"v": "sum"},
    codecs={"v": "root"},
    init={"v": ("initial_accumulator_value", 0.0)},
    paper=PAPER,
)
def adagrad(
    w: Any, g: Any, v: Any, *, t: Any, lr: Any = 1e-2, lr_decay: Any = 0.0, eps: Any = 1e-10
) -> Any:
    """Divide the rate by the root of the sum of squared gradients."""
    v = v + g**2
    return w - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(v) + eps), v


@rule(
    name="adagrad",
    state=("v",),
    convention="lecture",
    differs="eps 1e-8 and no decay of the rate with t",
    bounds={"eps": "[0, inf)"},
    space=SPACE,
    aliases={"lr": "eta"},
    codecs={"v": "root"},
    paper=PAPER,
)
def adagrad_lecture(w: Any, g: Any, v: Any, *, lr: Any = 1e-2, eps: Any = 1e-8) -> Any:
    """Divide the rate by the root of the sum of squared gradients."""
    v = v + g**2
    return w - lr * g / (sqrt(v) + eps), v


@rule(
    name="adagrad",
    state=("v",),
    convention="optax",
    differs="eps 1e-7 inside the root; the accumulator starts at 0.1",
    # At eps = 0 a weight without gradient so far could be 0 / 0.
    bounds={"eps": "(0, inf)", "initial_accumulator_value": "[0, inf)"},
    space=SPACE,
    aliases={"lr": "learning_rate"},
    codecs={"v": "root"},
    init={"v": ("initial_accumulator_value", 0.1)},
    paper=PAPER,
)
def adagrad_optax(w: Any, g: Any, v: Any, *, lr: Any = 1e-2, eps: Any = 1e-7) -> Any:
    """Divide the rate by the root of the sum of squared gradients."""
    v = v + g**2
    return w - lr * g / sqrt(v + eps), v


RULES = (adagrad, adagrad_lecture, adagrad_optax)
