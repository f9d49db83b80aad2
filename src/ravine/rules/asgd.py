"""Averaged SGD: gradient descent with a falling rate, and the average of its iterates.

Sources: Polyak & Juditsky 1992, doi:10.1137/0330046; the rates: Xu 2011, arXiv:1107.2490.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import maximum, where


def average(w: Any, ax: Any, eta: Any, mu: Any, **_: Any) -> Any:
    """Return the averaged iterate: the last one, until the average starts after t0 steps."""
    return ax


@rule(
    state=("ax",),
    scalars={"eta": "tensor", "mu": "tensor"},
    convention="torch",
    differs="a step uses the rate computed after the step before it, so a changed lr acts one step"
    " late; the decay lambd is always on; torch keeps eta and mu in single precision",
    bounds={"lambd": "[0, inf)", "alpha": "[0, inf)", "t0": "[0, inf)"},
    space={"lr": "log[1e-4, 10]"},
    state_aliases={"ax": "ax", "eta": "eta", "mu": "mu"},
    readout=average,
    paper="Polyak & Juditsky 1992, doi:10.1137/0330046; Xu 2011, arXiv:1107.2490",
)
def asgd(
    w: Any,
    g: Any,
    ax: Any,
    eta: Any,
    mu: Any,
    *,
    t: Any,
    lr: Any = 1e-2,
    lambd: Any = 1e-4,
    alpha: Any = 0.75,
    t0: Any = 1e6,
) -> Any:
    """Step at a rate that falls with t, and average the iterates after t0 steps."""
    eta = where(t > 1, eta, lr)
    mu = where(t > 1, mu, 1.0)
    w = w * (1 - lambd * eta) - eta * g
    ax = ax + mu * (w - ax)
    eta = lr / (1 + lambd * lr * t) ** alpha
    mu = 1 / maximum(t - t0, 1.0)
    return w, ax, eta, mu


RULES = (asgd,)
