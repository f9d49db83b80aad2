"""SOAP: Adam in the eigenbasis of Shampoo's matrices (Vyas et al. 2024)."""

from typing import Any, final

import torch
from torch import Tensor

from ravine.core.numbers import integer
from ravine.optim._groups import Group
from ravine.optim._loaded_state import NUMBER, Kept, Options
from ravine.optim._matrix import MatrixOptimizer, State, along_dimensions, gram
from ravine.optim._matrix_checks import (
    check_choice,
    check_numbers,
    check_tuple,
)
from ravine.optim._memory import wide

Bases = list[Tensor | None]


@final
class SOAP(MatrixOptimizer):
    r"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's matrices.

    .. math:: G' = Q_L^T G Q_R,\quad V = \beta_2 V + (1 - \beta_2) G'^2,\quad
        W \leftarrow W - \eta\, Q_L \frac{Q_L^T \hat M Q_R}{\sqrt{\hat V} + \epsilon} Q_R^T

    M is the running mean of G; L and R are running means of :math:`G G^T` and :math:`G^T G`.
    As the authors' code, which departs from the paper's Algorithm 3: the first step only begins
    the bases and moves no weight, decay follows the step, and eigenvectors are sorted whenever
    a power iteration with QR refreshes them, mean squares with them. The code's
    merging of dimensions and normalised steps are left out. Bases are computed in double
    precision for float64 weights, in single for all others; the code always takes single.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        shampoo_beta: Share of L and R kept per step, in [0, 1); None for ``betas[1]``.
        eps: Added to the root, >= 0.
        weight_decay: Decoupled decay, >= 0.
        precondition_frequency: Steps from one refresh of the bases to the next, >= 1.
        max_precond_dim: Longest dimension that has a basis, >= 1; others are left as they are.
        precondition_1d: Whether vectors have a basis too.

    Raises:
        SettingError: When a setting is out of bounds.
        torch.linalg.LinAlgError: From the first ``step()``, when a gradient is not finite.

    >>> weight = torch.nn.Parameter(torch.zeros(2, 2))
    >>> optimizer = SOAP([weight], lr=0.1)
    >>> weight.grad = torch.eye(2)
    >>> optimizer.step()

    Source: Vyas et al. 2024, arXiv:2409.11321, Algorithm 3; github.com/nikhilvyas/SOAP.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        shampoo_beta: float | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        precondition_frequency: int = 10,
        max_precond_dim: int = 10000,
        precondition_1d: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "shampoo_beta": shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "precondition_frequency": precondition_frequency,
            "max_precond_dim": max_precond_dim,
            "precondition_1d": precondition_1d,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        check_numbers(group, dict.fromkeys(("lr", "eps", "weight_decay"), "[0, inf)"))
        check_tuple("betas", group["betas"], "[0, 1)")
        if group["shampoo_beta"] is not None:
            check_numbers(group, {"shampoo_beta": "[0, 1)"})
        integer("precondition_frequency", group["precondition_frequency"], 1)
        integer("max_precond_dim", group["max_precond_dim"], 1)
        check_choice("precondition_1d", group["precondition_1d"], (True, False))

    def _kept(self, parameter: Tensor) -> Kept:
        means = dict.fromkeys(("exp_avg", "exp_avg_sq"), (parameter.shape,))
        # max_precond_dim may have changed since a state began.
        bases: list[Options] = [((n, n), None) for n in parameter.shape]
        return Kept({"step": NUMBER, **means, "GG": bases, "Q": bases})

    def _update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> None:
        g = wide(grad)
        if not state:
            _begin(g, state, group)
            _accumulate(g, state["GG"], group)
            state["Q"] = [None if m is None else _eigenvectors(m) for m in state["GG"]]
            return
        state["step"] += 1
        step, lr = _adam_step(g, state, group), float(group["lr"])
        parameter.add_(step, alpha=-lr * _correction(state["step"], group["betas"]))
        if group["weight_decay"] != 0:
            parameter.add_(parameter, alpha=-lr * group["weight_decay"])
        # After the step, so that no gradient is measured in a basis it has helped to choose.
        _accumulate(g, state["GG"], group)
        if state["step"] % group["precondition_frequency"] == 0:
            _refresh(state)


def _begin(g: Tensor, state: State, group: Group) -> None:
    longest = group["max_precond_dim"] if g.ndim > 1 or group["precondition_1d"] else 0
    matrices = [g.new_zeros(n, n) if n <= longest else None for n in g.shape]
    state.update(step=0, exp_avg=torch.zeros_like(g), exp_avg_sq=torch.zeros_like(g), GG=matrices)


def _accumulate(g: Tensor, matrices: Bases, group: Group) -> None:
    beta = group["betas"][1] if group["shampoo_beta"] is None else group["shampoo_beta"]
    for i, matrix in enumerate(matrices):
        if matrix is not None:
            matrix.lerp_(gram(g, i), 1 - beta)


def _adam_step(g: Tensor, state: State, group: Group) -> Tensor:
    beta1, beta2 = group["betas"]
    bases = state["Q"]
    mean = state["exp_avg"].mul_(beta1).add_(g, alpha=1 - beta1)
    turned = along_dimensions(g, bases)
    square = state["exp_avg_sq"].mul_(beta2).add_(turned.square(), alpha=1 - beta2)
    step = along_dimensions(mean, bases) / square.sqrt().add_(group["eps"])
    return along_dimensions(step, [None if q is None else q.T for q in bases])


def _correction(t: int, betas: tuple[float, float]) -> float:
    return (1 - betas[1] ** t) ** 0.5 / (1 - betas[0] ** t)


def _eigenvectors(matrix: Tensor) -> Tensor:
    return torch.linalg.eigh(matrix)[1].flip(1)  # largest first


def _refresh(state: State) -> None:
    """Turn the bases by one power iteration, sorted by what their vectors carry."""
    for i, (matrix, basis) in enumerate(zip(state["GG"], state["Q"], strict=True)):
        if matrix is None:
            continue
        carried = matrix @ basis
        order = torch.argsort((basis * carried).sum(0), descending=True)
        state["exp_avg_sq"] = state["exp_avg_sq"].index_select(i, order)
        state["Q"][i] = torch.linalg.qr(carried[:, order])[0]
