"""L-BFGS: a quasi-Newton method with a short memory (Nocedal 1980; Liu & Nocedal 1989)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from ravine.optim._closures_wolfe import Point, strong_wolfe
from ravine.optim._groups import Group
from ravine.optim._loaded_state import NUMBER, Kept, Options
from ravine.optim._matrix_checks import check_choice, check_numbers

# As in torch: a pair with less curvature would make the inverse Hessian all but singular.
LEAST_CURVATURE = 1e-10


@final
class LBFGS(ClosureOptimizer):
    r"""L-BFGS: steps along an inverse Hessian built from the last changes of the gradient.

    .. math:: W \leftarrow W - t H G,\quad
        H = V^T H V + \rho\, s s^T,\ V = I - \rho\, y s^T,\ \rho = 1 / y^T s

    As torch's, whose checkpoints it loads and writes. The closure is torch's too: it sets
    gradients to zero, calls ``backward()`` and returns the loss. One step makes up to
    ``max_iter`` iterations. Departures from torch: a loss that is not finite where a step begins
    is an error, in a line search it halves the bracket; scalars of the line search are double.

    Args:
        params: Real parameters, named parameters or one group of them.
        lr: Step length, with a line search its first trial, >= 0.
        max_iter: Most iterations per step, >= 1.
        max_eval: Most evaluations per step, >= 1; None for ``max_iter * 5 // 4``.
        tolerance_grad: Largest gradient component at which a step ends, >= 0.
        tolerance_change: Change of loss or weights at which a step ends, >= 0.
        history_size: Changes remembered, >= 1.
        line_search_fn: ``"strong_wolfe"`` or None.

    Raises:
        SettingError: When a setting is out of bounds or there are several groups.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([3.0]))
    >>> optimizer = LBFGS([weight], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (weight**2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    9.0

    Source: Nocedal 1980, Math. Comp. 35:773-782; Liu & Nocedal 1989, Math. Program. 45:503-528.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        integer("max_iter", max_iter, 1)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max(1, max_iter * 5 // 4) if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        names = ("lr", "tolerance_grad", "tolerance_change")
        check_numbers(group, dict.fromkeys(names, "[0, inf)"))
        for name in ("max_iter", "max_eval", "history_size"):
            integer(name, group[name], 1)
        check_choice("line_search_fn", group["line_search_fn"], (None, "strong_wolfe"))

    def _kept(self, parameters: Sequence[Tensor], state: Mapping[str, Any]) -> Kept:
        counts: dict[str, Options | list[Options]] = dict.fromkeys(("func_evals", "n_iter"), NUMBER)
        if not state.get("n_iter") and "d" not in state:  # no direction yet
            return Kept(counts)
        flat: Options = ((sum(p.numel() for p in parameters),),)
        pairs, scratch = (_length(state.get(name)) for name in ("old_dirs", "al"))
        numbers = dict.fromkeys(("t", "H_diag", "prev_loss"), NUMBER)
        vectors = dict.fromkeys(("d", "prev_flat_grad"), flat)
        lists = {"old_dirs": [flat] * pairs, "old_stps": [flat] * pairs, "ro": [NUMBER] * pairs}
        # torch's class keeps there what it needs within a step.
        return Kept({**counts, **numbers, **vectors, **lists}, {"al": [((), None)] * scratch})

    def _step(self, closure: Closure, group: Group, state: State) -> Any:
        began, loss = evaluate_finite(closure)
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        grad, left = flat_gradient(group["params"]), group["max_eval"] - 1
        for iteration in range(1, group["max_iter"] + 1):
            if _largest(grad) <= group["tolerance_grad"]:
                break
            state["n_iter"] += 1
            _turn(state, grad, loss, group)
            start = Point(0, loss, grad, float(grad.dot(state["d"])))
            if start.slope > -group["tolerance_change"]:
                break
            look = _Line(closure, group["params"], state["d"])
            if group["line_search_fn"] is not None:
                found = _search(look, start, state, group, left)
            else:
                found = _plain_step(look, start, state, iteration == group["max_iter"])
            state["func_evals"] += look.count
            left -= look.count
            if left <= 0 or _stalled(found.loss - loss, state, group):
                break
            loss, grad = found.loss, found.grad
        return began


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


class _Line:
    """The line through the weights along a direction; counts how often the loss is evaluated."""

    def __init__(self, closure: Closure, parameters: list[Tensor], direction: Tensor) -> None:
        self.closure, self.parameters, self.direction = closure, parameters, direction
        self.origin = copied(parameters)
        self.count = 0

    def here(self, t: float) -> Point:
        """Return the point at step length t, at which the weights are."""
        self.count += 1
        loss = evaluate(self.closure)[1]
        grad = flat_gradient(self.parameters)
        return Point(t, loss, grad, float(grad.dot(self.direction)))

    def at(self, t: float) -> Point:
        """Return the point at step length t and leave the weights where they were."""
        move(self.parameters, self.direction, t)
        point = self.here(t)
        put_back(self.parameters, self.origin)
        return point if math.isfinite(point.loss) else replace(point, loss=math.inf)


def _search(look: _Line, start: Point, state: State, group: Group, left: int) -> Point:
    tolerance, longest = group["tolerance_change"], _largest(look.direction)
    found = strong_wolfe(
        look.at, start, state["t"], left, lambda width: width * longest < tolerance
    )
    state["t"] = found.t
    move(look.parameters, look.direction, found.t)
    return found


def _plain_step(look: _Line, start: Point, state: State, last: bool) -> Point:
    move(look.parameters, look.direction, state["t"])
    # The next step begins with this evaluation, on its own batch: it would be wasted here.
    return start if last else look.here(state["t"])


def _turn(state: State, grad: Tensor, loss: float, group: Group) -> None:
    """Set the direction from a gradient, and the step length to try first."""
    rate = float(group["lr"])
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        direction, t = grad.neg(), min(1.0, 1.0 / float(grad.abs().sum())) * rate
    else:
        _learn(state, grad, group["history_size"])
        direction, t = _two_loops(state, grad), rate
    state.update(d=direction, t=t, prev_flat_grad=grad, prev_loss=loss)


def _learn(state: State, grad: Tensor, history_size: int) -> None:
    """Remember how the gradient changed along the last step."""
    change, step = grad - state["prev_flat_grad"], state["d"] * state["t"]
    curvature = change.dot(step)
    if curvature <= LEAST_CURVATURE:
        return
    for name, item in (("old_dirs", change), ("old_stps", step), ("ro", 1.0 / curvature)):
        state[name] = [*state[name], item][-history_size:]
    state["H_diag"] = curvature / change.dot(change)


def _two_loops(state: State, grad: Tensor) -> Tensor:
    """Return minus the inverse Hessian times the gradient (Nocedal & Wright, Algorithm 7.4)."""
    pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
    direction, shares = grad.neg(), []
    for change, step, rho in reversed(pairs):
        shares.append(step.dot(direction) * rho)
        direction.add_(change, alpha=-shares[-1])
    direction.mul_(state["H_diag"])
    for (change, step, rho), share in zip(pairs, reversed(shares), strict=True):
        direction.add_(step, alpha=share - change.dot(direction) * rho)
    return direction


def _stalled(gained: float, state: State, group: Group) -> bool:
    tolerance = group["tolerance_change"]
    return _largest(state["d"] * state["t"]) <= tolerance or abs(gained) < tolerance


def _largest(flat: Tensor) -> float:
    return float(flat.abs().max())
