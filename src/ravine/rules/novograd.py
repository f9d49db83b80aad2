"""NovoGrad: every layer's gradient divided by the running mean of its norm, then accumulated.

Source: Ginsburg et al. 2019, arXiv:1905.11286, Algorithm 1.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt, total, where

PAPER = "Ginsburg et al. 2019, arXiv:1905.11286, Algorithm 1"
BOUNDS = {
    "beta1": "[0, 1)",
    "beta2": "[0, 1)",
    "eps": "(0, inf)",  # a layer without gradient would be 0 / 0
    "weight_decay": "[0, inf)",
}
SPACE = {
    "lr": "log[1e-4, 1]",
    "beta1": "complement[0.8, 0.99]",
    "beta2": "complement[0.25, 0.999]",
}


def mean_square_norm(g: Any, v: Any, t: Any, beta2: Any) -> Any:
    """Return the running mean of a layer's squared gradient norm; it starts at the first one."""
    square = total(g**2, over="tensor")
    return where(t > 1, beta2 * v + (1 - beta2) * square, square)


@rule(
    state=("m",),
    scalars={"v": "tensor"},
    convention="paper",
    differs="eps is there from the first step on",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    paper=PAPER,
)
def novograd(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-2,
    beta1: Any = 0.95,
    beta2: Any = 0.98,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
) -> Any:
    """Accumulate the normalised gradient and the decay; m is a sum, not a mean."""
    v = mean_square_norm(g, v, t, beta2)
    m = beta1 * m + g / (sqrt(v) + eps) + weight_decay * w
    return w - lr * m, m, v


@rule(
    name="novograd",
    state=("m",),
    scalars={"v": "tensor"},
    convention="nvidia",
    differs="apex's FusedNovoGrad: gradients are averaged before they are divided by the norm, both"
    " are corrected as Adam's, though the norm does not start at 0, and the decay stays out of m",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    paper=PAPER,
)
def novograd_nvidia(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    *,
    t: Any,
    lr: Any = 1e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
) -> Any:
    """Divide the running mean of the gradient by the running norm, and add the decay."""
    v = mean_square_norm(g, v, t, beta2)
    m = beta1 * m + (1 - beta1) * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * (m_hat / (sqrt(v_hat) + eps) + weight_decay * w), m, v


novograd_optax = novograd.variant(
    "optax",
    "beta1 0.9 and beta2 0.25",
    hypers={"beta1": 0.9, "beta2": 0.25},
    aliases={"beta1": "b1", "beta2": "b2", "lr": "learning_rate"},
)

RULES = (novograd, novograd_nvidia, novograd_optax)
