"""Levenberg-Marquardt: damped Gauss-Newton for least squares."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from ravine.core.numbers import integer
from ravine.optim._closures import (
    Closure,
    ClosureOptimizer,
    State,
    copied,
    move,
    put_back,
    share_reached,
    unmoved,
)
from ravine.optim._closures_second import jacobian, trained
from ravine.optim._groups import Group
from ravine.optim._loaded_state import NUMBER, Kept
from ravine.optim._matrix_checks import check_numbers


@final
class LevenbergMarquardt(ClosureOptimizer):
    r"""Levenberg-Marquardt for half a sum of squares, from gradient descent to Gauss-Newton.

    .. math:: W \leftarrow W + p,\quad (J^T J + \mu I)\,p = -J^T r,\quad
        L = \tfrac12 \lVert r \rVert^2

    The closure returns the residuals r, a tensor of any shape, without calling ``backward()``,
    and must be deterministic. Damping is Nielsen's: after an accepted trial that reached the
    share q of the promised decrease it is multiplied by :math:`\max(1/3, 1 - (2 q - 1)^3)`,
    after a failed one by 2, 4, 8 and so on. Departures from the source: a step is as many of its
    iterations as it takes until a trial is accepted; rounding of the loss counts on both sides
    of the ratio, as in `NewtonTrustRegion`; and the system is solved by QR of J with the damping
    below it, in double precision, which squares no condition number.

    Args:
        params: Parameters, named parameters or one group of them; frozen ones stay.
        tau: First damping as a share of the largest diagonal element of :math:`J^T J`, > 0:
            1e-6 for a good start, 1e-3 otherwise, up to 1.
        max_trials: Most trials per step, >= 1.
        max_parameters: Most parameters, >= 1.

    Raises:
        SettingError: When a setting is out of bounds or there are too many parameters.

    >>> line = torch.nn.Parameter(torch.zeros(2))
    >>> x = torch.tensor([0.0, 1.0, 2.0])
    >>> optimizer = LevenbergMarquardt([line], tau=1e-6)
    >>> for _ in range(3):
    ...     loss = optimizer.step(lambda: line[0] + line[1] * x - (1 + 2 * x))
    >>> [round(value, 4) for value in line.tolist()]
    [1.0, 2.0]

    Source: Levenberg 1944; Marquardt 1963; damping: Nielsen 1999, IMM-REP-1999-05; Madsen,
    Nielsen & Tingleff 2004, Methods for non-linear least squares problems, Algorithm 3.16.
    """

    def __init__(
        self,
        params: Any,
        tau: float = 1e-3,
        max_trials: int = 20,
        max_parameters: int = 1000,
    ) -> None:
        defaults = {"tau": tau, "max_trials": max_trials, "max_parameters": max_parameters}
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        check_numbers(group, {"tau": "(0, inf)"})
        integer("max_trials", group["max_trials"], 1)
        integer("max_parameters", group["max_parameters"], 1)
        trained(group["params"], "LevenbergMarquardt", group["max_parameters"], "LBFGS")

    def _kept(self, parameters: Sequence[Tensor], state: Mapping[str, Any]) -> Kept:
        return Kept({"damping": NUMBER, "growth": NUMBER})

    def _step(self, closure: Closure, group: Group, state: State) -> Tensor:
        parameters = [p for p in group["params"] if p.requires_grad]
        with torch.enable_grad():
            residuals = _residuals(closure)
        r = residuals.detach().double().cpu()
        value = _finite(_half_square(r))
        j = jacobian(residuals, parameters)
        grad, start = j.T @ r, copied(parameters)
        if "damping" not in state:
            state.update(damping=group["tau"] * float(j.square().sum(0).max()), growth=2.0)
        before = dict(state)
        for _ in range(group["max_trials"] if bool(grad.any()) else 0):
            p = _damped(j, r, state["damping"])
            move(parameters, p)
            if unmoved(parameters, start):  # a minimum within rounding
                state.update(before)
                break
            promised = float(p @ (state["damping"] * p - grad)) / 2
            reached = _half_square(_residuals(closure).double())
            share = share_reached(value, reached, promised, residuals.dtype)
            _redamp(state, share)
            if share > 0:
                break
            put_back(parameters, start)
        return residuals.new_tensor(value)


def _residuals(closure: Closure) -> Tensor:
    residuals = closure()
    if not isinstance(residuals, Tensor):
        raise RuntimeError(
            f"closure must return a tensor of residuals, got {type(residuals).__name__}"
        )
    if residuals.numel() == 0:
        raise RuntimeError("closure must return at least 1 residual, got an empty tensor")
    return residuals.flatten()


def _half_square(residuals: Tensor) -> float:
    value = float(residuals.square().sum()) / 2
    return value if math.isfinite(value) else math.inf


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise RuntimeError(
            "residuals must be finite where a step begins, got one that is not; begin elsewhere"
        )
    return value


def _damped(j: Tensor, r: Tensor, damping: float) -> Tensor:
    """Return the least squares solution of ``j p = -r`` with ``sqrt(damping) p = 0`` below."""
    below = math.sqrt(damping) * torch.eye(j.shape[1], dtype=j.dtype)
    q, upper = torch.linalg.qr(torch.cat([j, below]))
    wanted = -(q[: len(r)].T @ r)
    return torch.linalg.solve_triangular(upper, wanted[:, None], upper=True)[:, 0]


def _redamp(state: State, share: float) -> None:
    """Change the damping by how much of the promised decrease was reached (Nielsen)."""
    if share > 0:
        state["damping"] *= max(1 / 3, 1 - (2 * share - 1) ** 3)
        state["growth"] = 2.0
    else:
        state["damping"] *= state["growth"]
        state["growth"] *= 2
