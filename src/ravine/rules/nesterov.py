"""Nesterov's accelerated gradient.

Sources: Nesterov 1983, Soviet Mathematics Doklady 27(2); Sutskever et al. 2013, PMLR 28(3), for
the form with a velocity.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import where
from ravine.rules.momentum import RATES, SHARE

PAPER = "Nesterov 1983, Soviet Mathematics Doklady 27(2):372-376"


@rule(
    state=("v",),
    convention="torch",
    differs="learning rate outside the velocity; the stored look-ahead point is what is evaluated",
    bounds={"mu": "(0, inf)"},
    space=RATES | {"mu": SHARE},
    aliases={"mu": "momentum"},
    state_aliases={"v": "momentum_buffer"},
    paper=PAPER,
)
def nesterov(
    w: Any, g: Any, v: Any, *, t: Any, lr: Any = 1e-3, mu: Any = 0.9, dampening: Any = 0.0
) -> Any:
    """Step along the gradient and the velocity it would meet one step later."""
    v = where(t > 1, mu * v + (1 - dampening) * g, g)
    return w - lr * (g + mu * v), v


def behind_look_ahead(w: Any, v: Any, *, gamma: Any, **_: Any) -> Any:
    """Return the weights that belong to a stored look-ahead point."""
    return w + gamma * v


@rule(
    name="nesterov",
    state=("v",),
    convention="lecture",
    differs="learning rate inside the velocity; stores the look-ahead point w - gamma v, and"
    " readout gives w",
    bounds={"gamma": "[0, inf)"},
    space=RATES | {"gamma": SHARE},
    aliases={"gamma": "momentum", "lr": "eta"},
    readout=behind_look_ahead,
    paper=PAPER,
)
def nesterov_lecture(w: Any, g: Any, v: Any, *, lr: Any = 1e-2, gamma: Any = 0.9) -> Any:
    """Step from the look-ahead point, then look ahead again; w and g belong to that point."""
    w = w - lr * g
    v = gamma * v + lr * g
    return w - gamma * v, v


RULES = (nesterov, nesterov_lecture)
