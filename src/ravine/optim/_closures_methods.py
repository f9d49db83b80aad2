"""The methods that run singly as a table: what docs, lists and tests need to know of each."""

from ravine.optim._armijo import ArmijoGradientDescent
from ravine.optim._lbfgs import LBFGS
from ravine.optim._levenberg_marquardt import LevenbergMarquardt
from ravine.optim._matrix_methods import Method, table
from ravine.optim._trust_region import NewtonTrustRegion

_TRIALS = "one step evaluates the loss as often as it needs, which members of a block cannot"

CLOSURE_METHODS = table(
    Method(
        "gradient_descent_armijo",
        ArmijoGradientDescent,
        _TRIALS,
        {"lr": "log[1e-3, 10]", "shrink": "linear[0.1, 0.9]"},
    ),
    Method(
        "newton_trust_region",
        NewtonTrustRegion,
        f"{_TRIALS}, and an exact Hessian is needed",
        {"radius": "log[1e-2, 10]"},
    ),
    Method(
        "levenberg_marquardt",
        LevenbergMarquardt,
        f"{_TRIALS}, and residuals are needed instead of a loss",
        {"tau": "log[1e-6, 1]"},
    ),
    Method("lbfgs", LBFGS, _TRIALS, {"lr": "log[1e-2, 1]"}),
)
