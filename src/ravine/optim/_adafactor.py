"""Adafactor: second moments of a matrix kept as one row and one column (Shazeer & Stern 2018)."""

from typing import Any, final

import torch
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.optim._groups import Group
from ravine.optim._loaded_state import NUMBER, Kept
from ravine.optim._matrix import MatrixOptimizer, State
from ravine.optim._matrix_checks import check_numbers
from ravine.optim._states import step_tensor
from ravine.optim._torch_rules import check_direction

_TORCH_SAYS = {
    "lr": "Learning rate should be >= 0 but is:",
    "beta2_decay": "beta2_decay should be <= 0 but is:",
    "eps[0]": "epsilon1 should be >= 0 but is:",
    "eps[1]": "epsilon2 should be >= 0 but is:",
    "d": "Clipping threshold d should be >= 1 but is:",
    "weight_decay": "weight_decay should be >= 0 but is:",
}


@final
class Adafactor(MatrixOptimizer):
    r"""Adafactor: RMSProp whose mean squares of a matrix are a column times a row.

    .. math:: \hat V = \frac{R\,C}{\mathrm{mean}(R)},\quad U = \frac{G}{\sqrt{\hat V}},\quad
        W \leftarrow W - \frac{\max(\epsilon_2, \mathrm{rms}(W))\,
        \min(\eta, 1/\sqrt{t})}{\max(1, \mathrm{rms}(U) / d)}\,U

    As torch's, which departs from the paper: epsilon_1 bounds the estimate instead of entering
    the sums, and the decay of the sums is :math:`1 - t^{\beta_2'}`. More than two dimensions are
    factored along the last two. One departure from torch: in a group of several dtypes each
    parameter has the epsilon_1 of its own dtype; torch takes the first one's.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Largest relative step, >= 0.
        beta2_decay: Exponent of the decay, <= 0.
        eps: epsilon_1, >= 0 or None for the dtype's resolution; epsilon_2, >= 0.
        d: Largest root mean square of a step before it is clipped, >= 1.
        weight_decay: Decoupled decay, >= 0.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.

    Raises:
        SettingError: When a setting is out of bounds.

    >>> weight = torch.nn.Parameter(torch.zeros(3, 2))
    >>> optimizer = Adafactor([weight], lr=0.1)
    >>> weight.grad = torch.ones(3, 2)
    >>> optimizer.step()

    Source: Shazeer & Stern 2018, arXiv:1804.04235.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        check_direction(group)
        at_least_0 = "[0, inf)"
        bounds = {"lr": at_least_0, "beta2_decay": "(-inf, 0]", "d": "[1, inf)"}
        check_numbers(group, bounds | {"weight_decay": at_least_0}, _TORCH_SAYS)
        if not isinstance(group["eps"], tuple | list) or len(group["eps"]) != 2:
            raise SettingError(f"eps must be two numbers, got {group['eps']!r}")
        for i, value in enumerate(group["eps"]):
            if i == 1 or value is not None:
                name = f"eps[{i}]"
                check_numbers({name: value}, {name: at_least_0}, _TORCH_SAYS)

    def _kept(self, parameter: Tensor) -> Kept:
        if parameter.ndim < 2:
            return Kept({"step": NUMBER, "variance": (parameter.shape,)})
        *batch, rows, columns = parameter.shape
        row, column = (*batch, rows, 1), (*batch, 1, columns)
        return Kept({"step": NUMBER, "row_var": (row,), "col_var": (column,)})

    def _update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> None:
        check_direction(group)
        grad = -grad if group["maximize"] else grad
        if not state:
            state.update(_begin(grad))
        state["step"] = step_tensor(state["step"]) + 1
        t = float(state["step"])
        least, least_scale = group["eps"]
        least = torch.finfo(parameter.dtype).eps if least is None else least
        lr = float(group["lr"])
        rate = max(least_scale, _root_mean_square(parameter)) * min(lr, 1 / t**0.5)
        if group["weight_decay"] != 0:
            parameter.mul_(1 - lr * group["weight_decay"])
        estimate = _mean_square(grad, state, t ** group["beta2_decay"], least)
        step = estimate.clamp_(min=least * least).rsqrt_().mul_(grad)
        parameter.add_(step, alpha=-rate / max(1.0, _root_mean_square(step) / group["d"]))


def _begin(grad: Tensor) -> State:
    double = torch.get_default_dtype() == torch.float64  # as in torch
    step = torch.zeros((), dtype=torch.float64 if double else torch.float32, device="cpu")
    if grad.ndim < 2:
        return {"step": step, "variance": torch.zeros_like(grad)}
    *batch, rows, columns = grad.shape
    row, column = grad.new_zeros(*batch, rows, 1), grad.new_zeros(*batch, 1, columns)
    return {"step": step, "row_var": row, "col_var": column}


def _mean_square(grad: Tensor, state: State, weight: float, least: float) -> Tensor:
    """Let a gradient enter the running mean squares and return their estimate per weight."""
    if grad.ndim < 2:
        return state["variance"].lerp_(grad * grad, weight).clone()
    row, column = state["row_var"], state["col_var"]
    # A norm squared is the sum of squares without a tensor of squares.
    row.lerp_(torch.norm(grad, dim=-1, keepdim=True).square_().div_(grad.size(-1)), weight)
    column.lerp_(torch.norm(grad, dim=-2, keepdim=True).square_().div_(grad.size(-2)), weight)
    return (row @ column).div_(row.mean(dim=-2, keepdim=True).clamp_(min=least))


def _root_mean_square(tensor: Tensor) -> float:
    return float(tensor.norm(2)) / tensor.numel() ** 0.5
