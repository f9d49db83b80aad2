"""Shampoo: a preconditioner matrix for each dimension of a weight (Gupta et al. 2018)."""

from typing import Any, final

import torch
from torch import Tensor

from ravine.core.numbers import integer
from ravine.optim._groups import Group
from ravine.optim._loaded_state import NUMBER, Kept, Options
from ravine.optim._matrix import MatrixOptimizer, State, along_dimensions, gram
from ravine.optim._matrix_checks import check_numbers
from ravine.optim._memory import wide


@final
class Shampoo(MatrixOptimizer):
    r"""Shampoo: AdaGrad with one full matrix per dimension of a weight.

    .. math:: H_i = H_i + G_{(i)} G_{(i)}^T,\ H_i(0) = \epsilon I,\quad
        W \leftarrow W - \eta\, G \times_1 H_1^{-1/2k} \cdots \times_k H_k^{-1/2k}

    A weight of k dimensions is unfolded along each of them. Departures from the paper's
    Algorithm 2: roots may be refreshed less often, long dimensions keep only the diagonal of
    their matrix, as the paper suggests, and decay and momentum may be added. A scalar counts as
    a vector of one. Roots are taken by eigenvalues in double precision; statistics of
    half-precision weights are kept in single.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        eps: What the matrices begin with on their diagonal, > 0.
        momentum: Share of the velocity of preconditioned gradients kept per step, in [0, 1).
        weight_decay: Coupled decay, >= 0.
        interval: Steps from one refresh of the roots to the next, >= 1.
        max_size: Longest dimension that keeps a full matrix, >= 1.

    Raises:
        SettingError: When a setting is out of bounds.
        torch.linalg.LinAlgError: From ``step()``, when a gradient is not finite.

    >>> weight = torch.nn.Parameter(torch.zeros(2, 2))
    >>> optimizer = Shampoo([weight], lr=0.1)
    >>> weight.grad = torch.eye(2)
    >>> optimizer.step()

    Source: Gupta, Koren & Singer 2018, arXiv:1802.09568, Algorithm 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 0.1,
        eps: float = 1e-4,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        interval: int = 1,
        max_size: int = 1024,
    ) -> None:
        defaults = {
            "lr": lr,
            "eps": eps,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "interval": interval,
            "max_size": max_size,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        bounds = {"lr": "[0, inf)", "eps": "(0, inf)", "momentum": "[0, 1)"}
        check_numbers(group, bounds | {"weight_decay": "[0, inf)"})
        integer("interval", group["interval"], 1)
        integer("max_size", group["max_size"], 1)

    def _kept(self, parameter: Tensor) -> Kept:
        # max_size may have changed since a state began.
        sizes: list[Options] = [((n, n), (n,)) for n in parameter.shape or (1,)]
        return Kept(
            {"step": NUMBER, "statistics": sizes, "roots": [(*each, None) for each in sizes]},
            {"momentum_buffer": (parameter.shape,)},
        )

    def _update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> None:
        shape = parameter.shape or (1,)
        g = wide(grad)
        if group["weight_decay"] != 0:
            g = g.add(wide(parameter), alpha=group["weight_decay"])
        g = g.reshape(shape)
        if not state:
            state.update(step=0, statistics=_begin(g, group), roots=[None] * g.ndim)
        _accumulate(g, state["statistics"])
        if state["step"] % group["interval"] == 0:
            state["roots"] = [_inverse_root(h, 2 * g.ndim) for h in state["statistics"]]
        state["step"] += 1
        step = along_dimensions(g, state["roots"]).reshape(parameter.shape)
        if group["momentum"] != 0:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(step)
            step = state["momentum_buffer"].mul_(group["momentum"]).add_(step)
        parameter.add_(step, alpha=-float(group["lr"]))


def _begin(g: Tensor, group: Group) -> list[Tensor]:
    eps, longest = group["eps"], group["max_size"]
    diagonals = [g.new_full((size,), eps) for size in g.shape]
    return [d.diag() if len(d) <= longest else d for d in diagonals]


def _accumulate(g: Tensor, statistics: list[Tensor]) -> None:
    for i, statistic in enumerate(statistics):
        if statistic.ndim == 2:
            statistic.add_(gram(g, i))
        else:
            others = [j for j in range(g.ndim) if j != i]
            statistic.add_(g.square().sum(dim=others) if others else g.square())


def _inverse_root(statistic: Tensor, order: int) -> Tensor:
    """Return the statistic to the power -1 / order."""
    if statistic.ndim == 1:
        return statistic.pow(-1 / order)
    values, vectors = torch.linalg.eigh(statistic.double())
    # Sums of squares on top of eps > 0: what lies below 0 is rounding.
    values = values.clamp(min=torch.finfo(torch.float64).tiny).pow(-1 / order)
    return ((vectors * values) @ vectors.T).to(statistic.dtype)
