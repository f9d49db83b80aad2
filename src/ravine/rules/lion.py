"""Lion: the sign of a mixture of the gradient and its running mean.

Source: Chen et al. 2023, arXiv:2302.06675, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sign


@rule(
    state=("m",),
    convention="paper",
    differs="the paper's formula; no decay unless told",
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "weight_decay": "[0, inf)"},
    space={
        "lr": "log[1e-6, 1e-2]",
        "beta1": "complement[0.8, 0.99]",
        "beta2": "complement[0.9, 0.999]",
    },
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg"},
    paper="Chen et al. 2023, arXiv:2302.06675, Algorithm 2",
)
def lion(
    w: Any,
    g: Any,
    m: Any,
    *,
    lr: Any = 1e-4,
    beta1: Any = 0.9,
    beta2: Any = 0.99,
    weight_decay: Any = 0.0,
) -> Any:
    """Move every weight by the rate, and shrink it by the rate times the decay."""
    direction = sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return w - lr * (direction + weight_decay * w), m


RULES = (lion,)
