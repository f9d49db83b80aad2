"""signSGD: only the sign of the gradient counts; Signum takes the sign of its running mean.

Source: Bernstein et al. 2018, arXiv:1802.04434, Algorithms 1 and 2.
"""

from typing import Any

from ravine.rules._rule import rule
from ravine.rules._vocabulary import sign

SPACE = {"lr": "log[1e-5, 1e-1]"}


@rule(
    convention="paper",
    differs="the paper's Algorithm 1 without its vote of several workers",
    space=SPACE,
    paper="Bernstein et al. 2018, arXiv:1802.04434, Algorithm 1",
)
def signsgd(w: Any, g: Any, *, lr: Any = 1e-4) -> Any:
    """Move every weight by the rate, against the sign of its gradient."""
    return w - lr * sign(g)


@rule(
    name="signsgd",
    state=("m",),
    convention="signum",
    differs="the paper's Algorithm 2, Signum: the sign of the gradient's running mean",
    bounds={"beta": "[0, 1)"},
    space=SPACE | {"beta": "complement[0.8, 0.99]"},
    aliases={"beta": "momentum"},
    paper="Bernstein et al. 2018, arXiv:1802.04434, Algorithm 2",
)
def signum(w: Any, g: Any, m: Any, *, lr: Any = 1e-4, beta: Any = 0.9) -> Any:
    """Move every weight by the rate, against the sign of its gradient's running mean."""
    m = beta * m + (1 - beta) * g
    return w - lr * sign(m), m


RULES = (signsgd, signum)
