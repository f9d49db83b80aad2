"""NAdam: Adam with Nesterov's look-ahead, on a rising schedule of momentum.

Sources: Dozat 2016, "Incorporating Nesterov Momentum into Adam", ICLR workshop, Algorithm 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sqrt, where

PAPER = "Dozat 2016, Incorporating Nesterov Momentum into Adam, ICLR workshop, Algorithm 2"
BOUNDS = {"beta1": "[0, 1)", "beta2": "[0, 1)", "eps": "[0, inf)"}
SPACE = {
    "lr": "log[1e-5, 1e-1]",
    "beta1": "complement[0.8, 0.99]",
    "beta2": "complement[0.9, 0.9999]",
}
BETAS = {"beta1": "betas[0]", "beta2": "betas[1]"}
NAMES = {"m": "exp_avg", "v": "exp_avg_sq", "mu_product": "mu_product"}


def momentum_at(t: Any, beta1: Any, momentum_decay: Any) -> Any:
    """Return the momentum at a step: it rises from beta1 / 2 to beta1.

    The 0.5 and 0.96 are Dozat's; with his momentum_decay of 0.004 the distance to beta1 shrinks
    by 4 % every 250 steps.
    """
    return beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))


@rule(
    state=("m", "v"),
    scalars={"mu_product": "tensor"},
    convention="torch",
    differs="the running mean m decays by beta1 and not by the schedule; torch keeps the product"
    " of momenta in single precision",
    bounds=BOUNDS | {"momentum_decay": "[0, inf)"},
    space=SPACE,
    aliases=BETAS,
    state_aliases=NAMES,
    codecs={"v": "root"},
    paper=PAPER,
)
def nadam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    mu_product: Any,
    *,
    t: Any,
    lr: Any = 2e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
    momentum_decay: Any = 4e-3,
) -> Any:
    """Step along the gradient and the momentum that it would meet one step later."""
    mu = momentum_at(t, beta1, momentum_decay)
    mu_next = momentum_at(t + 1, beta1, momentum_decay)
    mu_product = where(t > 1, mu_product, 1.0) * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(v_hat) + eps), m, v, mu_product


@rule(
    name="nadam",
    state=("m", "v"),
    scalars={"mu_product": "tensor"},
    convention="paper",
    differs="the running mean m decays by the scheduled momentum, too; v is corrected as Adam's,"
    " without a further factor beta2",
    bounds=BOUNDS | {"momentum_decay": "[0, inf)"},
    space=SPACE,
    aliases=BETAS,
    state_aliases=NAMES,
    codecs={"v": "root"},
    paper=PAPER,
)
def nadam_paper(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    mu_product: Any,
    *,
    t: Any,
    lr: Any = 2e-3,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    eps: Any = 1e-8,
    momentum_decay: Any = 4e-3,
) -> Any:
    """Step along the gradient and the momentum that it would meet one step later."""
    mu = momentum_at(t, beta1, momentum_decay)
    mu_next = momentum_at(t + 1, beta1, momentum_decay)
    mu_product = where(t > 1, mu_product, 1.0) * mu
    m = mu * m + (1 - mu) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(v_hat) + eps), m, v, mu_product


@rule(
    name="nadam",
    state=("m", "v"),
    convention="optax",
    differs="no schedule: the momentum is beta1 at every step",
    bounds=BOUNDS,
    space=SPACE,
    aliases={"beta1": "b1", "beta2": "b2", "lr": "learning_rate"},
    codecs={"v": "root"},
    paper=PAPER,
)
def nadam_optax(
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
    """Step along the gradient and the momentum that it would meet one step later."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = beta1 / (1 - beta1 ** (t + 1)) * m + (1 - beta1) / (1 - beta1**t) * g
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (sqrt(v_hat) + eps), m, v


RULES = (nadam, nadam_paper, nadam_optax)
