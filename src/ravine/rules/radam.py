"""RAdam: momentum at first, and Adam as soon as its second moment can be trusted.

Source: Liu et al. 2020, arXiv:1908.03265, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, sqrt, where

PAPER = "Liu et al. 2020, arXiv:1908.03265, Algorithm 2"
SPACE = {
    "lr": "log[1e-5, 1e-1]",
    "beta1": "complement[0.8, 0.99]",
    "beta2": "complement[0.9, 0.9999]",
}

# Of the authors' code. The paper's 4 is where the variance of the adaptive rate becomes finite;
# just above it the rectification is almost 0.
THRESHOLD = 5.0
TINY = 1e-30


def averaged_length(t: Any, beta2: Any) -> tuple[Any, Any]:
    """Return how many gradients the second moment averages over, at step t and in the end."""
    limit = 2 / (1 - beta2) - 1
    return limit - 2 * t * beta2**t / (1 - beta2**t), limit


def rectification(length: Any, limit: Any, threshold: Any) -> Any:
    """Return the factor that gives the adaptive rate the variance it has in the end.

    Lengths up to the threshold do not use it; there it only has to be a number, and not a root of
    a negative one or a quotient by 0.
    """
    length = maximum(length, threshold)
    above = (length - 4) * (length - 2) * limit
    return sqrt(above / maximum((limit - 4) * (limit - 2) * length, TINY))


@rule(
    state=("m", "v"),
    convention="torch",
    differs="adapts from a length of 5, where the paper has 4; eps is added to the root before bias"
    " correction",
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"},
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    state_aliases={"m": "exp_avg", "v": "exp_avg_sq"},
    codecs={"v": "root"},
    paper=PAPER,
)
def radam(
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
) -> Any:
    """Step along the momentum; divide it by the root mean square once that is reliable."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    length, limit = averaged_length(t, beta2)
    rate = rectification(length, limit, THRESHOLD) * sqrt(1 - beta2**t)
    return w - lr * where(length > THRESHOLD, rate * m_hat / (sqrt(v) + eps), m_hat), m, v


@rule(
    name="radam",
    state=("m", "v"),
    convention="paper",
    differs="eps, which the paper does not have, is added to the root after bias correction",
    # Below 4 the rectification is a root of a negative number.
    bounds={"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)", "threshold": "[4, inf)"},
    space=SPACE,
    aliases={"beta1": "betas[0]", "beta2": "betas[1]"},
    codecs={"v": "root"},
    paper=PAPER,
)
def radam_paper(
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
    threshold: Any = 4.0,
) -> Any:
    """Step along the momentum; divide it by the root mean square once that is reliable."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    length, limit = averaged_length(t, beta2)
    rate = rectification(length, limit, threshold)
    return w - lr * where(length > threshold, rate * m_hat / (sqrt(v_hat) + eps), m_hat), m, v


radam_optax = radam_paper.variant(
    "optax",
    "adapts from a length of 5; eps is added to the root after bias correction",
    hypers={"threshold": THRESHOLD},
    aliases={"beta1": "b1", "beta2": "b2", "lr": "learning_rate"},
)

RULES = (radam, radam_paper, radam_optax)
