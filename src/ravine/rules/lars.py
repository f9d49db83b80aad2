"""LARS: momentum whose every layer moves by a fixed share of its own size.

Source: You, Gitman & Ginsburg 2017, arXiv:1708.03888, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, minimum, norm, where

PAPER = "You, Gitman & Ginsburg 2017, arXiv:1708.03888, Algorithm 1"
BOUNDS = {"mu": "[0, 1)", "trust_coefficient": "(0, inf)", "weight_decay": "[0, inf)"}
SPACE = {"lr": "log[1e-2, 100]", "mu": "complement[0.5, 0.99]"}
ALIASES = {"mu": "momentum"}

# Keeps x / 0 away where the quotient is not used; far below the size of any update.
TINY = 1e-30


def trust_ratio(weights: Any, update: Any) -> Any:
    """Return the size of a layer's weights over that of its update; 1 where the weights are 0.

    Without the exception weights that start at 0, such as biases, would never move. An update of
    size 0 moves nothing at any ratio.
    """
    return where(weights > 0, weights / maximum(update, TINY), 1.0)


def layer_rate(w: Any, g: Any, lr: Any, trust_coefficient: Any, weight_decay: Any) -> Any:
    """Return the rate of a layer, from the sizes of its weights, its gradient and its decay.

    The authors' code (NVCaffe) leaves the rate alone where the weights or the gradient are 0.
    """
    size, slope = norm(w, over="tensor"), norm(g, over="tensor")
    ratio = trust_coefficient * size / maximum(slope + weight_decay * size, TINY)
    return lr * where(minimum(size, slope) > 0, ratio, 1.0)


@rule(
    state=("v",),
    convention="paper",
    differs="a layer whose weights or gradient are all 0 moves by the rate itself",
    bounds=BOUNDS,
    space=SPACE,
    aliases=ALIASES,
    state_aliases={"v": "momentum_buffer"},
    paper=PAPER,
)
def lars(
    w: Any,
    g: Any,
    v: Any,
    *,
    lr: Any = 1.0,
    mu: Any = 0.9,
    trust_coefficient: Any = 1e-3,
    weight_decay: Any = 0.0,
) -> Any:
    """Accumulate steps that are scaled layer by layer, and subtract them."""
    v = mu * v + layer_rate(w, g, lr, trust_coefficient, weight_decay) * (g + weight_decay * w)
    return w - v, v


@rule(
    name="lars",
    state=("v",),
    convention="nesterov",
    differs="the paper's steps, accumulated with Nesterov's look-ahead",
    bounds=BOUNDS,
    space=SPACE,
    aliases=ALIASES,
    state_aliases={"v": "momentum_buffer"},
    paper=PAPER,
)
def lars_nesterov(
    w: Any,
    g: Any,
    v: Any,
    *,
    lr: Any = 1.0,
    mu: Any = 0.9,
    trust_coefficient: Any = 1e-3,
    weight_decay: Any = 0.0,
) -> Any:
    """Subtract the scaled step and the velocity that it would meet one step later."""
    step = layer_rate(w, g, lr, trust_coefficient, weight_decay) * (g + weight_decay * w)
    v = mu * v + step
    return w - (step + mu * v), v


@rule(
    name="lars",
    state=("v",),
    convention="optax",
    differs="a layer is compared with its decayed gradient, and not with the sum of both norms; a"
    " layer whose weights or update are all 0 moves by the rate itself",
    bounds=BOUNDS,
    space=SPACE,
    aliases=ALIASES | {"lr": "learning_rate"},
    paper=PAPER,
)
def lars_optax(
    w: Any,
    g: Any,
    v: Any,
    *,
    lr: Any = 1.0,
    mu: Any = 0.9,
    trust_coefficient: Any = 1e-3,
    weight_decay: Any = 0.0,
) -> Any:
    """Accumulate steps that are scaled layer by layer, and subtract them."""
    update = g + weight_decay * w
    size = trust_coefficient * norm(w, over="tensor")
    v = mu * v + lr * trust_ratio(size, norm(update, over="tensor")) * update
    return w - v, v


RULES = (lars, lars_nesterov, lars_optax)
