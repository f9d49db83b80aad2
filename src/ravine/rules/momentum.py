"""Heavy-ball momentum.

Source: Polyak 1964, doi:10.1016/0041-5553(64)90137-5.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import where

PAPER = "Polyak 1964, doi:10.1016/0041-5553(64)90137-5"
RATES = {"lr": "log[1e-4, 10]"}
SHARE = "complement[0.5, 0.99]"


@rule(
    state=("v",),
    convention="torch",
    differs="learning rate outside the velocity; the first step is not dampened",
    bounds={"mu": "[0, inf)"},
    space=RATES | {"mu": SHARE},
    aliases={"mu": "momentum"},
    state_aliases={"v": "momentum_buffer"},
    paper=PAPER,
)
def momentum(
    w: Any, g: Any, v: Any, *, t: Any, lr: Any = 1e-3, mu: Any = 0.9, dampening: Any = 0.0
) -> Any:
    """Accumulate gradients in a velocity and step along it."""
    v = where(t > 1, mu * v + (1 - dampening) * g, g)
    return w - lr * v, v


@rule(
    name="momentum",
    state=("v",),
    convention="lecture",
    differs="learning rate inside the velocity: differs from torch once the rate changes",
    bounds={"gamma": "[0, inf)"},
    space=RATES | {"gamma": SHARE},
    aliases={"gamma": "momentum", "lr": "eta"},
    init={"v": ("initial_velocity", 0.0)},
    paper=PAPER,
)
def momentum_lecture(w: Any, g: Any, v: Any, *, lr: Any = 1e-2, gamma: Any = 0.9) -> Any:
    """Accumulate steps in a velocity and subtract it."""
    v = gamma * v + lr * g
    return w - v, v


@rule(
    name="momentum",
    state=("v",),
    convention="textbook",
    differs="the lecture's velocity with the opposite sign",
    bounds={"alpha": "[0, inf)"},
    space=RATES | {"alpha": SHARE},
    aliases={"alpha": "momentum", "lr": "rho"},
    init={"v": ("initial_velocity", 0.0)},
    paper=PAPER,
)
def momentum_textbook(w: Any, g: Any, v: Any, *, lr: Any = 1e-2, alpha: Any = 0.9) -> Any:
    """Accumulate steps in a velocity that points downhill and add it."""
    v = alpha * v - lr * g
    return w + v, v


RULES = (momentum, momentum_lecture, momentum_textbook)
