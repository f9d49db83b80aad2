"""D-Adaptation, SGD: the distance to the solution is estimated, and with it the rate.

Source: Defazio & Mishchenko 2023, arXiv:2301.07733.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, minimum, norm, total, where

# No limit, as a finite number: nothing grows by this factor in one step.
UNLIMITED = 1e30
# Keeps 0 / 0 away while all gradients were 0; far below any size that a gradient or sum has.
TINY = 1e-30


@rule(
    state=("s", "w0"),
    scalars={"d": "member", "numerator": "member", "first_norm": "member"},
    convention="paper",
    differs="as version 3.2 of the authors' package: the first gradient norm, which scales all"
    " steps, leaves the decay out; it is the first norm that is not 0",
    bounds={
        "mu": "[0, 1)",
        "weight_decay": "[0, inf)",
        "d0": "(0, inf)",
        "growth_rate": "[1, inf)",
    },
    space={"lr": "log[0.1, 10]", "mu": "linear[0, 0.99]"},
    aliases={"mu": "momentum"},
    state_aliases={"s": "s", "w0": "x0"},
    init={"w0": "w", "d": ("d0", 1e-6)},
    paper="Defazio & Mishchenko 2023, arXiv:2301.07733",
)
def dadapt_sgd(
    w: Any,
    g: Any,
    s: Any,
    w0: Any,
    d: Any,
    numerator: Any,
    first_norm: Any,
    *,
    lr: Any = 1.0,
    mu: Any = 0.0,
    weight_decay: Any = 0.0,
    growth_rate: Any = UNLIMITED,
) -> Any:
    """Step at d over the first gradient's norm; d is a lower bound of the distance to go."""
    first_norm = where(first_norm > 0, first_norm, norm(g, over="member"))
    rate = d / maximum(first_norm, TINY)
    g = g + weight_decay * w
    numerator = numerator + rate * total(lr * g * s, over="member")
    s = s + rate * lr * g
    estimate = 2 * numerator / maximum(norm(s, over="member"), TINY)
    d = maximum(d, minimum(estimate, d * growth_rate))
    w = mu * w + (1 - mu) * (w0 - s)
    return w, s, w0, d, numerator, first_norm


RULES = (dadapt_sgd,)
