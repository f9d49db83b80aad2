"""RMSProp: the gradient divided by a running root mean square; plain, centred, with momentum.

Sources: Tieleman & Hinton 2012, Neural Networks for Machine Learning, lecture 6.5; centred and
with momentum: Graves 2013, arXiv:1308.0850, equations 38-45.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt

PLAIN = "Tieleman & Hinton 2012, Neural Networks for Machine Learning, lecture 6.5"
CENTRED = "Graves 2013, arXiv:1308.0850, equations 38-45"
DIFFERS = "beta (torch's alpha) 0.99; eps outside the root; the centred variance is not clamped"
BOUNDS = {"beta": "[0, inf)", "eps": "[0, inf)"}
NAMES = {"v": "square_avg", "a": "grad_avg", "b": "momentum_buffer"}
SPACE = {"lr": "log[1e-5, 1e-1]", "beta": "complement[0.8, 0.999]"}
MU = "complement[0.5, 0.99]"


def mean_square(g: Any, v: Any, beta: Any) -> Any:
    """Return the running mean square of the gradient."""
    return beta * v + (1 - beta) * g**2


def centred(g: Any, v: Any, a: Any, beta: Any) -> Any:
    """Return the running mean and the running variance of the gradient."""
    a = beta * a + (1 - beta) * g
    return a, v - a**2


@rule(
    state=("v",),
    convention="torch",
    differs=DIFFERS,
    bounds=BOUNDS,
    aliases={"beta": "alpha"},
    space=SPACE,
    state_aliases={"v": NAMES["v"]},
    codecs={"v": "root"},
    paper=PLAIN,
)
def rmsprop(w: Any, g: Any, v: Any, *, lr: Any = 1e-2, beta: Any = 0.99, eps: Any = 1e-8) -> Any:
    """Divide the gradient by the root of its running mean square."""
    v = mean_square(g, v, beta)
    return w - lr * g / (sqrt(v) + eps), v


@rule(
    state=("v", "a"),
    convention="torch",
    differs=DIFFERS,
    bounds=BOUNDS,
    aliases={"beta": "alpha"},
    space=SPACE,
    state_aliases={"v": NAMES["v"], "a": NAMES["a"]},
    codecs={"v": "root"},
    paper=CENTRED,
)
def rmsprop_centred(
    w: Any, g: Any, v: Any, a: Any, *, lr: Any = 1e-2, beta: Any = 0.99, eps: Any = 1e-8
) -> Any:
    """Divide the gradient by its running standard deviation."""
    v = mean_square(g, v, beta)
    a, variance = centred(g, v, a, beta)
    return w - lr * g / (sqrt(variance) + eps), v, a


@rule(
    state=("v", "b"),
    convention="torch",
    differs=DIFFERS,
    bounds=BOUNDS | {"mu": "[0, inf)"},
    aliases={"beta": "alpha", "mu": "momentum"},
    space=SPACE | {"mu": MU},
    state_aliases={"v": NAMES["v"], "b": NAMES["b"]},
    codecs={"v": "root"},
    paper=CENTRED,
)
def rmsprop_momentum(
    w: Any,
    g: Any,
    v: Any,
    b: Any,
    *,
    lr: Any = 1e-2,
    beta: Any = 0.99,
    eps: Any = 1e-8,
    mu: Any = 0.9,
) -> Any:
    """Accumulate the scaled gradients in a velocity."""
    v = mean_square(g, v, beta)
    b = mu * b + g / (sqrt(v) + eps)
    return w - lr * b, v, b


@rule(
    state=("v", "a", "b"),
    convention="torch",
    differs=DIFFERS,
    bounds=BOUNDS | {"mu": "[0, inf)"},
    aliases={"beta": "alpha", "mu": "momentum"},
    space=SPACE | {"mu": MU},
    state_aliases=NAMES,
    codecs={"v": "root"},
    paper=CENTRED,
)
def rmsprop_centred_momentum(
    w: Any,
    g: Any,
    v: Any,
    a: Any,
    b: Any,
    *,
    lr: Any = 1e-2,
    beta: Any = 0.99,
    eps: Any = 1e-8,
    mu: Any = 0.9,
) -> Any:
    """Accumulate the gradients, scaled by their standard deviation, in a velocity."""
    v = mean_square(g, v, beta)
    a, variance = centred(g, v, a, beta)
    b = mu * b + g / (sqrt(variance) + eps)
    return w - lr * b, v, a, b


@rule(
    name="rmsprop",
    state=("v",),
    convention="optax",
    differs="beta 0.9; eps inside the root",
    # At eps = 0 a weight without gradient so far would be 0 / 0.
    bounds=BOUNDS | {"eps": "(0, inf)"},
    space=SPACE,
    aliases={"beta": "decay", "lr": "learning_rate"},
    codecs={"v": "root"},
    paper=PLAIN,
)
def rmsprop_optax(
    w: Any, g: Any, v: Any, *, lr: Any = 1e-2, beta: Any = 0.9, eps: Any = 1e-8
) -> Any:
    """Divide the gradient by the root of its running mean square."""
    v = mean_square(g, v, beta)
    return w - lr * g / sqrt(v + eps), v


rmsprop_lecture = rmsprop.variant(
    "lecture", "beta 0.9", hypers={"beta": 0.9}, aliases={"lr": "eta"}
)

RULES = (
    rmsprop,
    rmsprop_lecture,
    rmsprop_optax,
    rmsprop_centred,
    rmsprop_momentum,
    rmsprop_centred_momentum,
)
