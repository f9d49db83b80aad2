"""Gradient descent whose step is found by backtracking (Armijo 1966)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor

from ravine.core.numbers import integer
from ravine.optim._closures import (
    Closure,
    ClosureOptimizer,
    State,
    copied,
    evaluate,
    evaluate_finite,
    flat_gradient,
    move,
    put_back,
)
from ravine.optim._groups import Group
from ravine.optim._loaded_state import NUMBER, Kept
from ravine.optim._matrix_checks import check_numbers


@final
class ArmijoGradientDescent(ClosureOptimizer):
    r"""Gradient descent with the first of ever smaller steps that decreases the loss enough.

    .. math:: W \leftarrow W - \eta G,\quad \eta = \eta_0 \rho^j:\
        L(W - \eta G) \le L(W) - c_1 \eta \lVert G \rVert^2

    The closure is torch's: it sets gradients to zero, calls ``backward()`` and returns the loss.
    It must be deterministic, since losses at different weights are compared. A trial whose loss
    is not finite counts as too high. When no trial is good enough the weights stay, which is
    the case at a minimum within rounding. Departure from the textbook algorithm: the first
    trial of a later step is the last step taken times ``expand``, so that a rate once
    shrunk grows again.

    Args:
        params: Parameters, named parameters or one group of them.
        lr: First trial of the first step, > 0.
        c1: Share of the decrease a linear model promises that must be reached, in (0, 1).
        shrink: Factor from one trial to the next, in (0, 1).
        expand: Factor from one step to the next step's first trial, >= 1.
        max_trials: Most trials per step, >= 1.

    Raises:
        SettingError: When a setting is out of bounds.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([2.0]))
    >>> optimizer = ArmijoGradientDescent([weight], lr=1.0)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (weight**2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item(), weight.item()
    (4.0, 0.0)

    Source: Armijo 1966, Pacific J. Math. 16:1-3; Nocedal & Wright 2006, Numerical Optimization,
    Algorithm 3.1; c1 = 1e-4 from its section 3.1.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        c1: float = 1e-4,
        shrink: float = 0.5,
        expand: float = 2.0,
        max_trials: int = 50,
    ) -> None:
        defaults = {
            "lr": lr,
            "c1": c1,
            "shrink": shrink,
            "expand": expand,
            "max_trials": max_trials,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        bounds = {"lr": "(0, inf)", "c1": "(0, 1)", "shrink": "(0, 1)", "expand": "[1, inf)"}
        check_numbers(group, bounds)
        integer("max_trials", group["max_trials"], 1)

    def _kept(self, parameters: Sequence[Tensor], state: Mapping[str, Any]) -> Kept:
        return Kept({"func_evals": NUMBER}, {"step_size": NUMBER})

    def _step(self, closure: Closure, group: Group, state: State) -> Any:
        parameters = group["params"]
        loss, value = evaluate_finite(closure)
        grad, start = flat_gradient(parameters), copied(parameters)
        slope = float(grad.dot(grad))
        last = state.get("step_size")
        rate = float(group["lr"]) if last is None else last * group["expand"]
        state["func_evals"] = state.get("func_evals", 0) + 1
        for _ in range(group["max_trials"] if slope > 0 else 0):
            move(parameters, grad, -rate)
            state["func_evals"] += 1
            reached = evaluate(closure)[1]
            if math.isfinite(reached) and reached <= value - group["c1"] * rate * slope:
                state["step_size"] = rate
                return loss
            put_back(parameters, start)
            rate *= group["shrink"]
        return loss
