"""Schedule-Free AdamW: averaging of the iterates takes the place of momentum and a falling rate.

Source: Defazio et al. 2024, arXiv:2405.15682, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, sqrt
from ravine.rules.schedule_free_sgd import BOUNDS, DIFFERS, average, moved, warmed


def readout(w: Any, z: Any, v: Any, weight_sum: Any, lr_max: Any, *, beta1: Any, **_: Any) -> Any:
    """Return the averaged iterate."""
    return average(w, z, beta1)


@rule(
    state=("z", "v"),
    scalars={"weight_sum": "tensor", "lr_max": "tensor"},
    convention="paper",
    differs=DIFFERS,
    bounds=BOUNDS | {"beta1": "(0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"},
    space={
        "lr": "log[1e-4, 1e-1]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.9, 0.9999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"z": "z", "v": "exp_avg_sq"},
    codecs={"v": "root"},
    init={"z": "w"},
    readout=readout,
    scheduled=False,
    paper="Defazio et al. 2024, arXiv:2405.15682, Algorithm 1",
)
def schedule_free_adamw(
    w: Any,
    g: Any,
    z: Any,
    v: Any,
    weight_sum: Any,
    lr_max: Any,
    *,
    t: Any,
    lr: Any = 2.5e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    warmup_steps: Any = 0.0,
    r: Any = 0.0,
    weight_lr_power: Any = 2.0,
) -> Any:
    """Step z by the gradient at y over its root mean square, plus the decay of y."""
    rate = warmed(t, lr, warmup_steps)
    lr_max = maximum(lr_max, rate)
    weight = t**r * lr_max**weight_lr_power
    weight_sum = weight_sum + weight
    v = beta2 * v + (1 - beta2) * g**2
    direction = g / (sqrt(v / (1 - beta2**t)) + eps) + weight_decay * w
    y, z = moved(w, z, direction, rate, weight / weight_sum, beta1)
    return y, z, v, weight_sum, lr_max


RULES = (schedule_free_adamw,)
