"""Schedule-Free SGD: averaging of the iterates takes the place of a falling rate.

Source: Defazio et al. 2024, arXiv:2405.15682.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, minimum

BOUNDS = {
    "weight_decay": "[0, inf)",
    "warmup_steps": "[0, inf)",
    "r": "[0, inf)",
    "weight_lr_power": "[0, inf)",
}
DIFFERS = (
    "as in the authors' package: an iterate weighs t^r times the highest rate so far to the"
    " weight_lr_power; the stored point is y, where gradients are taken, and readout gives x"
)


def warmed(t: Any, lr: Any, warmup_steps: Any) -> Any:
    """Return the rate of a step: it rises evenly over the warm-up, then stays."""
    return lr * minimum(t / maximum(warmup_steps, 1.0), 1.0)


def moved(w: Any, z: Any, direction: Any, rate: Any, share: Any, beta: Any) -> Any:
    """Return y and z after a step of z along a direction.

    The average x takes in ``share`` of the new z, and y = beta x + (1 - beta) z; x itself need
    not be stored.
    """
    y = w + share * (z - w) - rate * (1 - beta * (1 - share)) * direction
    return y, z - rate * direction


def average(y: Any, z: Any, beta: Any) -> Any:
    """Return x, the averaged iterate, from y = beta x + (1 - beta) z."""
    return y + (1 / beta - 1) * (y - z)


def readout(w: Any, z: Any, weight_sum: Any, lr_max: Any, *, beta: Any, **_: Any) -> Any:
    """Return the averaged iterate."""
    return average(w, z, beta)


@rule(
    state=("z",),
    scalars={"weight_sum": "tensor", "lr_max": "tensor"},
    convention="paper",
    differs=DIFFERS,
    bounds=BOUNDS | {"beta": "(0, 1)"},
    space={"lr": "log[1e-3, 100]", "beta": "complement[0.8, 0.99]"},
    aliases={"beta": "momentum"},
    state_aliases={"z": "z"},
    init={"z": "w"},
    readout=readout,
    scheduled=False,
    paper="Defazio et al. 2024, arXiv:2405.15682",
)
def schedule_free_sgd(
    w: Any,
    g: Any,
    z: Any,
    weight_sum: Any,
    lr_max: Any,
    *,
    t: Any,
    lr: Any = 1.0,
    beta: Any = 0.9,
    weight_decay: Any = 0.0,
    warmup_steps: Any = 0.0,
    r: Any = 0.0,
    weight_lr_power: Any = 2.0,
) -> Any:
    """Step z by the gradient at y, and y with it; their average is what is evaluated."""
    rate = warmed(t, lr, warmup_steps)
    lr_max = maximum(lr_max, rate)
    weight = t**r * lr_max**weight_lr_power
    weight_sum = weight_sum + weight
    y, z = moved(w, z, g + weight_decay * w, rate, weight / weight_sum, beta)
    return y, z, weight_sum, lr_max


RULES = (schedule_free_sgd,)
