"""Newton's method within a trust region."""

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
    evaluate_finite,
    evaluate_only,
    move,
    put_back,
    share_reached,
    unmoved,
)
from ravine.optim._closures_second import derivatives, trained
from ravine.optim._groups import Group
from ravine.optim._loaded_state import NUMBER, Kept
from ravine.optim._matrix_checks import check_numbers

# Nocedal & Wright, Algorithm 4.1: below POOR the model has failed and the region shrinks; above
# GOOD, with the step at its border, the region grows.
POOR, GOOD = 0.25, 0.75
SHRINK, GROW = 0.25, 2.0


@final
class NewtonTrustRegion(ClosureOptimizer):
    r"""Newton's method, each step no longer than the radius within which its model is trusted.

    .. math:: W \leftarrow W + p,\quad p = \arg\min_{\lVert p \rVert \le \Delta}
        G^T p + \tfrac12 p^T H p

    The Hessian is exact and the model's minimum is found by its eigenvalues, so that saddles
    and the "hard case" are no obstacle; that costs the third power of the number of parameters.
    The closure returns the loss, without calling ``backward()``, and must be deterministic. A
    trial whose loss is not finite is rejected. The model is solved in double precision.
    Departures from the book's Algorithm 4.1: a step is as many of its iterations as it takes
    until a trial is accepted, and what rounding may add to the loss counts on both sides of
    the ratio (Conn, Gould & Toint 2000, section 17.4.2), so that no radius collapses at a minimum.

    Args:
        params: Parameters, named parameters or one group of them; frozen ones stay.
        radius: First radius, > 0.
        max_radius: Largest radius, >= ``radius``.
        eta: Least share of the promised decrease for a trial to be accepted, in [0, 0.25).
        max_trials: Most trials per step, >= 1.
        max_parameters: Most parameters, >= 1.

    Raises:
        SettingError: When a setting is out of bounds or there are too many parameters.

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, -1.0]))
    >>> optimizer = NewtonTrustRegion([weight], radius=10.0)
    >>> loss = optimizer.step(lambda: (weight**2).sum())
    >>> weight.tolist()
    [0.0, 0.0]

    Source: Nocedal & Wright 2006, Numerical Optimization, Algorithms 4.1 and 4.3; Moré &
    Sorensen 1983, SIAM J. Sci. Stat. Comput. 4:553-572.
    """

    def __init__(
        self,
        params: Any,
        radius: float = 1.0,
        max_radius: float = 1000.0,
        eta: float = 0.15,
        max_trials: int = 20,
        max_parameters: int = 1000,
    ) -> None:
        defaults = {
            "radius": radius,
            "max_radius": max_radius,
            "eta": eta,
            "max_trials": max_trials,
            "max_parameters": max_parameters,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        check_numbers(group, {"radius": "(0, inf)", "eta": "[0, 0.25)"})
        check_numbers(group, {"max_radius": f"[{group['radius']}, inf)"})
        integer("max_trials", group["max_trials"], 1)
        integer("max_parameters", group["max_parameters"], 1)
        trained(group["params"], "NewtonTrustRegion", group["max_parameters"], "LBFGS")

    def _kept(self, parameters: Sequence[Tensor], state: Mapping[str, Any]) -> Kept:
        return Kept({"radius": NUMBER})

    def _step(self, closure: Closure, group: Group, state: State) -> Any:
        parameters = [p for p in group["params"] if p.requires_grad]
        loss, value = evaluate_finite(closure)
        grad, hessian = derivatives(loss, parameters)
        start = copied(parameters)
        radius = state.setdefault("radius", float(group["radius"]))
        for _ in range(group["max_trials"]):
            p = model_minimum(grad, hessian, state["radius"])
            move(parameters, p)
            if unmoved(parameters, start):  # a minimum within rounding
                state["radius"] = radius
                break
            promised = -float(grad @ p + p @ hessian @ p / 2)
            share = share_reached(value, evaluate_only(closure), promised, start[0].dtype)
            state["radius"] = _next_radius(state["radius"], share, p, group["max_radius"])
            if share > group["eta"]:
                break
            put_back(parameters, start)
        return loss.detach()


def _next_radius(radius: float, share: float, p: Tensor, largest: float) -> float:
    if share < POOR:
        return SHRINK * radius
    at_border = float(p.norm()) >= radius * (1 - 1e-8)  # the border is found within rounding
    return min(GROW * radius, largest) if share > GOOD and at_border else radius


def model_minimum(grad: Tensor, hessian: Tensor, radius: float) -> Tensor:
    """Return the minimum of ``grad p + p hessian p / 2`` over ``norm(p) <= radius``.

    Args:
        grad: Shape ``(P,)``, float64.
        hessian: Symmetric, shape ``(P, P)``.
        radius: Largest length of the minimum.

    >>> model_minimum(torch.tensor([2.0, 0.0]), torch.eye(2), 1.0).tolist()
    [-1.0, 0.0]
    """
    values, vectors = torch.linalg.eigh(hessian)
    turned = vectors.T @ grad
    least = float(values[0])
    if least > 0:
        inside = -turned / values
        if float(inside.norm()) <= radius:
            return vectors @ inside
    lowest = values <= least + 1e-12 * max(1.0, abs(least))
    if least <= 0 and float(turned[lowest].norm()) <= 1e-12 * float(turned.norm()):
        beyond = torch.where(lowest, 0.0, -turned / torch.where(lowest, 1.0, values - least))
        length = float(beyond.norm())
        if length <= radius:  # the hard case: the rest of the way along the lowest eigenvector
            beyond[0] = math.sqrt(radius**2 - length**2) if least < 0 else 0.0
            return vectors @ beyond
    return vectors @ (-turned / (values + _shift(values, turned, radius)))


def _shift(values: Tensor, turned: Tensor, radius: float) -> float:
    """Return the multiple of the identity that brings the step to the border.

    Newton's method on ``1 / radius - 1 / length``, nearly linear in the shift, held inside a
    bracket that shrinks.
    """
    low = max(0.0, -float(values[0]))
    high = low + float(turned.norm()) / radius
    shift = high
    for _ in range(100):  # each turn halves the bracket at least: float64 ends before
        moved = values + shift
        length = float((turned / moved).norm())
        if abs(length - radius) <= 1e-14 * radius:
            break
        low, high = (shift, high) if length > radius else (low, shift)
        slope = float((turned**2 / moved**3).sum())
        newton = shift + length**2 / slope * (length / radius - 1) if slope > 0 else low
        shift = newton if low < newton < high else (low + high) / 2
    return shift
