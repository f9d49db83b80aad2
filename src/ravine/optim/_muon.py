"""Muon: momentum whose step is made nearly orthogonal (Jordan et al. 2024)."""

import math
from typing import Any, final

import torch
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.core.numbers import integer
from ravine.optim._groups import Group
from ravine.optim._loaded_state import Kept
from ravine.optim._matrix import MatrixOptimizer, State
from ravine.optim._matrix_checks import (
    check_choice,
    check_numbers,
    check_tuple,
)

# The quintic with the steepest slope at 0 that keeps singular values near 1 (the authors' post).
NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_TORCH_SAYS = {
    "lr": "Learning rate should be >= 0 but is:",
    "weight_decay": "weight decay should be >= 0 but is:",
    "momentum": "momentum should be >= 0 but is:",
}


@final
class Muon(MatrixOptimizer):
    r"""Muon: each step of a matrix is momentum brought close to the nearest orthogonal matrix.

    .. math:: B = \mu B + (1 - \mu) G,\quad
        W \leftarrow (1 - \eta\lambda) W - \eta s\,\mathrm{NS}_k((1 - \mu) G + \mu B)

    Strict, as torch's: two dimensions only. For whole networks there is `MuonWithAdamW`.
    Orthogonalisation runs in bfloat16 whatever the parameter's dtype, as in torch, whose order
    of operations is kept. One departure from torch: for bfloat16 parameters without Nesterov
    torch divides the momentum itself by its norm, because the cast makes no copy; here the
    momentum stays what the formula says.

    Args:
        params: Matrices, named matrices or groups of them.
        lr: Learning rate, >= 0.
        weight_decay: Decoupled decay, >= 0.
        momentum: Share of the running mean kept per step, >= 0.
        nesterov: Look ahead along the momentum.
        ns_coefficients: Three coefficients of the Newton-Schulz polynomial.
        eps: Least norm that a step is divided by, >= 0.
        ns_steps: Newton-Schulz iterations, fewer than 100.
        adjust_lr_fn: ``"original"`` or None: :math:`s = \sqrt{\max(1, rows / columns)}`;
            ``"match_rms_adamw"``: :math:`s = 0.2 \sqrt{\max(rows, columns)}`.

    Raises:
        SettingError: When a setting is out of bounds or a parameter is no matrix.

    >>> weight = torch.nn.Parameter(torch.zeros(2, 2))
    >>> optimizer = Muon([weight], lr=0.1)
    >>> weight.grad = torch.ones(2, 2)
    >>> optimizer.step()

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; scale "match_rms_adamw":
    Liu et al. 2025, arXiv:2502.16982.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = NS_COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        check_muon(group)
        for parameter in group["params"]:
            if parameter.ndim != 2:
                raise SettingError(
                    "Muon only supports 2D parameters: they must have 2 dimensions, got shape"
                    f" {tuple(parameter.shape)}; MuonWithAdamW takes a whole network"
                )

    def _kept(self, parameter: Tensor) -> Kept:
        return muon_keeps(parameter)

    def _update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> None:
        muon_update(parameter, grad, state, group, torch.bfloat16)


def check_muon(group: Group) -> None:
    """Raise SettingError when a setting of Muon is out of bounds."""
    names = ("lr", "weight_decay", "momentum", "eps")
    check_numbers(group, dict.fromkeys(names, "[0, inf)"), _TORCH_SAYS)
    check_tuple("ns_coefficients", group["ns_coefficients"], "(-inf, inf)", 3)
    integer("ns_steps", group["ns_steps"], 0, 99)
    check_choice("nesterov", group["nesterov"], (True, False))
    adjust = group["adjust_lr_fn"]
    if adjust not in (None, "original", "match_rms_adamw"):
        raise SettingError(
            f"Adjust learning rate function {adjust} is not supported; adjust_lr_fn must be"
            f" 'original', 'match_rms_adamw' or None, got {adjust!r}"
        )


def muon_keeps(parameter: Tensor) -> Kept:
    """Return what Muon keeps for a parameter."""
    return Kept({"momentum_buffer": (parameter.shape,)})


def muon_update(
    parameter: Tensor, grad: Tensor, state: State, group: Group, dtype: torch.dtype
) -> None:
    """Update one parameter by Muon; more than two dimensions are flattened to rows.

    Args:
        parameter: Of two dimensions or more.
        grad: Its gradient.
        state: Holds, or begins, ``momentum_buffer``.
        group: Muon's settings.
        dtype: What orthogonalisation computes in.
    """
    momentum, lr = group["momentum"], float(group["lr"])
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = torch.zeros_like(grad)
    buffer = state["momentum_buffer"]
    buffer.lerp_(grad, 1 - momentum)
    ahead = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
    matrix = ahead.flatten(1)
    coefficients, steps = group["ns_coefficients"], group["ns_steps"]
    direction = newton_schulz(matrix, coefficients, steps, group["eps"], dtype)
    parameter.mul_(1 - lr * group["weight_decay"])
    rate = lr * _scale(group["adjust_lr_fn"], *matrix.shape)
    parameter.add_(direction.reshape(parameter.shape), alpha=-rate)


def newton_schulz(
    matrix: Tensor,
    coefficients: tuple[float, float, float] = NS_COEFFICIENTS,
    steps: int = 5,
    eps: float = 1e-7,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    r"""Return a matrix with the same singular vectors and singular values near 1.

    .. math:: X \leftarrow a X + (b X X^T + c (X X^T)^2) X

    Args:
        matrix: Two-dimensional.
        coefficients: a, b and c.
        steps: Iterations.
        eps: Least norm that the matrix is divided by.
        dtype: What it is computed in, and the dtype of what is returned.
    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]  # X X.T is smaller for a wide matrix
    x = matrix.to(dtype)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)  # the largest singular value is then at most 1
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _scale(adjust: str | None, rows: int, columns: int) -> float:
    if adjust == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
