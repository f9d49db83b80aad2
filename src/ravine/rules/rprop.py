"""Rprop: a step size per weight, grown while the gradient keeps its sign and cut when it turns.

Sources: Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623; without taking steps back: Igel &
Hüsken 2000, "Improving the Rprop learning algorithm" (iRprop-).
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, minimum, sign, where

BOUNDS = {
    "eta_minus": "(0, 1)",
    "eta_plus": "(1, inf)",
    "step_min": "[0, inf)",
    "step_max": "(0, inf)",
}
SPACE = {"lr": "log[1e-5, 1]"}
ALIASES = {
    "eta_minus": "etas[0]",
    "eta_plus": "etas[1]",
    "step_min": "step_sizes[0]",
    "step_max": "step_sizes[1]",
}


@rule(
    state=("previous", "step_size"),
    convention="torch",
    differs="iRprop-: where the gradient turns, the weight stays where it is; lr is only the first"
    " step size",
    bounds=BOUNDS,
    space=SPACE,
    aliases=ALIASES,
    state_aliases={"previous": "prev", "step_size": "step_size"},
    codecs={"step_size": "root"},
    init={"step_size": ("lr", 1e-2)},
    scheduled=False,
    paper="Igel & Hüsken 2000, Improving the Rprop learning algorithm (iRprop-)",
)
def rprop(
    w: Any,
    g: Any,
    previous: Any,
    step_size: Any,
    *,
    lr: Any = 1e-2,
    eta_minus: Any = 0.5,
    eta_plus: Any = 1.2,
    step_min: Any = 1e-6,
    step_max: Any = 50.0,
) -> Any:
    """Step against the gradient's sign; forget a gradient that turned, and do not follow it."""
    turned = g * previous
    factor = where(turned > 0, eta_plus, where(turned < 0, eta_minus, 1.0))
    step_size = minimum(maximum(step_size * factor, step_min), step_max)
    g = where(turned < 0, 0.0, g)
    # As in torch, a gradient that is NaN has no sign: its weight stays.
    step = where(g > 0, step_size, where(g < 0, -step_size, 0.0))
    return w - step, g, step_size


@rule(
    name="rprop",
    state=("previous", "step_size"),
    convention="paper",
    differs="where the gradient turns, the step before is taken back; the first step size is 0.1",
    bounds=BOUNDS,
    space=SPACE,
    aliases=ALIASES,
    codecs={"step_size": "root"},
    init={"step_size": ("lr", 0.1)},
    scheduled=False,
    paper="Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623",
)
def rprop_paper(
    w: Any,
    g: Any,
    previous: Any,
    step_size: Any,
    *,
    lr: Any = 0.1,
    eta_minus: Any = 0.5,
    eta_plus: Any = 1.2,
    step_min: Any = 1e-6,
    step_max: Any = 50.0,
) -> Any:
    """Step against the gradient's sign, but take the last step back where the gradient turned."""
    turned = g * previous
    # The step before was against `previous`: a gradient that turned is forgotten as 0, so no two
    # steps in a row are taken back.
    back = sign(previous) * step_size
    grown = minimum(step_size * eta_plus, step_max)
    shrunk = maximum(step_size * eta_minus, step_min)
    step_size = where(turned > 0, grown, where(turned < 0, shrunk, step_size))
    g = where(turned < 0, 0.0, g)
    return w + where(turned < 0, back, -sign(g) * step_size), g, step_size


RULES = (rprop, rprop_paper)
