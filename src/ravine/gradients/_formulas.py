"""Finite-difference formulas: where a function is evaluated, and what its values give."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

LEVELS = 5  # of Richardson extrapolation: steps h, h/2, ..., h/16


@dataclass(frozen=True)
class Formula:
    """One way to get a derivative from function values.

    Args:
        multiples: Where the function is evaluated, in steps from the base point.
        order: The step is ``eps**(1 / order)`` of an entry's scale, which balances rounding
            ``eps / h`` against the formula's truncation.
        derivative: From moves as made [len(multiples), N], values minus the value at the base
            point, and rounding errors of values, the derivatives and their errors, each [N].
    """

    multiples: tuple[float, ...]
    order: int
    derivative: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]


def steps(x: Tensor, order: int) -> Tensor:
    """Return the step of each entry of a tensor: ``eps**(1 / order)`` of its scale.

    The scale is the entry's size, but at least a tenth of the tensor's root mean square, so that
    an entry that happens to be 0 moves like its neighbours; 0.1 in a tensor of zeros.

    >>> steps(torch.tensor([0.0, 0.0], dtype=torch.float64), 2)
    tensor([1.4901e-09, 1.4901e-09], dtype=torch.float64)
    """
    typical = scale_of(x) / 10
    return torch.finfo(x.dtype).eps ** (1 / order) * x.abs().clamp(min=typical)


def scale_of(x: Tensor) -> float:
    """Return the root mean square of a tensor, 1 where that is 0, NaN or infinite."""
    size = float(torch.linalg.vector_norm(x.detach().double())) / max(1, x.numel()) ** 0.5
    return size if 0 < size < float("inf") else 1.0


def _forward(moves: Tensor, rises: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """``(f(x + h) - f(x)) / h``; with 2h the error doubles, so the difference is the error."""
    near, far = rises / moves
    return near, (far - near).abs() + 2 * noise / moves[0].abs()


def _central(moves: Tensor, rises: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """``(f(x + h) - f(x - h)) / 2h``; with 2h the error is four times as large."""
    near = (rises[0] - rises[1]) / (moves[0] - moves[1])
    far = (rises[2] - rises[3]) / (moves[2] - moves[3])
    return near, (far - near).abs() / 3 + 2 * noise / (moves[0] - moves[1]).abs()


def _richardson(moves: Tensor, rises: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Neville's table of central differences; for each entry the column that changed least.

    Source: Ridders 1982, Accurate computation of F'(x) and F'(x) F''(x).
    """
    up, down = slice(0, None, 2), slice(1, None, 2)
    spans = moves[up] - moves[down]
    column = list((rises[up] - rises[down]) / spans)
    rounding = list(2 * noise / spans.abs())
    best, error = column[0], torch.full_like(column[0], float("inf"))
    for order in range(1, LEVELS):
        weight = 4.0**order
        following = [(weight * b - a) / (weight - 1) for a, b in pairwise(column)]
        rounding = [(weight * b + a) / (weight - 1) for a, b in pairwise(rounding)]
        for k, value in enumerate(following):
            off = torch.maximum((value - column[k]).abs(), (value - column[k + 1]).abs())
            off = off + rounding[k]
            best = torch.where(off < error, value, best)
            error = torch.minimum(off, error)
        column = following
    return best, error


FORMULAS = {
    "forward": Formula((1, 2), 2, _forward),
    "central": Formula((1, -1, 2, -2), 3, _central),
    "richardson": Formula(
        tuple(sign * 0.5**k for k in range(LEVELS) for sign in (1, -1)), 7, _richardson
    ),
}
