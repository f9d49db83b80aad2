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
    an entry that happens to be 0 moves like its neighbours; 0.1 in a tensor of zeros. It is large
    enough for the step to keep its digits beside the smallest numbers of the dtype.

    >>> steps(torch.tensor([0.0, 0.0], dtype=torch.float64), 2)
    tensor([1.4901e-09, 1.4901e-09], dtype=torch.float64)
    """
    info = torch.finfo(x.dtype)
    least = max(scale_of(x) / 10, info.tiny / info.eps)
    return info.eps ** (1 / order) * x.abs().clamp(min=least)


def scale_of(x: Tensor) -> float:
    """Return the root mean square of a tensor, 1 where that is 0, NaN or infinite."""
    largest = float(x.detach().abs().max()) if x.numel() else 0.0
    if not 0 < largest < float("inf"):
        return 1.0
    # Relative to the largest entry, whose square may not be a number of the dtype.
    return largest * float((x.detach().double() / largest).square().mean().sqrt())


def own_scale(x: Tensor) -> Tensor:
    """Return the size of each entry of a tensor, that of the tensor where it is 0."""
    return torch.where(x == 0, scale_of(x), x.abs())


def surer(far: tuple[Tensor, Tensor], near: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the derivatives and errors of the surer of two steps, for each entry.

    A longer step may miss what the function does close to x and not know of it; a shorter one has
    rounding only, which it knows. So the shorter one tells how wrong the longer one is at least.
    """
    error = torch.maximum(far[1], (far[0] - near[0]).abs() - near[1])
    keep = error <= near[1]  # False for NaN
    return torch.where(keep, far[0], near[0]), torch.where(keep, error, near[1])


def _forward(moves: Tensor, rises: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """``(f(x + h) - f(x)) / h``; with 2h the error doubles, so the difference is the error."""
    near, far = rises / moves
    return near, (far - near).abs() + 2 * noise / moves[0].abs()


def _central(moves: Tensor, rises: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """``(f(x + h) - f(x - h)) / 2h``; with 2h the error is four times as large."""
    far, near = (rises[0::2] - rises[1::2]) / (moves[0::2] - moves[1::2])
    error = (far - near).abs() / 3 + 2 * noise / (moves[2] - moves[3]).abs()
    return near, error + _kink(moves, rises) / 2


def _richardson(moves: Tensor, rises: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Neville's table of central differences; for each entry the column that changed least.

    Source: Ridders 1982, Accurate computation of F'(x) and F'(x) F''(x).
    """
    spans = moves[0::2] - moves[1::2]
    column = list((rises[0::2] - rises[1::2]) / spans)
    rounding = list(2 * noise / spans.abs())
    best, error = column[0], torch.full_like(column[0], float("inf"))
    for order in range(1, LEVELS):
        weight = 4.0**order
        following = _extrapolated(column, weight)
        rounding = [(weight * b + a) / (weight - 1) for a, b in pairwise(rounding)]
        for k, value in enumerate(following):
            off = torch.maximum((value - column[k]).abs(), (value - column[k + 1]).abs())
            off = off + rounding[k]
            best = torch.where(off < error, value, best)
            error = torch.minimum(off, error)
        column = following
    return best, error + _kink(moves, rises) / 2


def _kink(moves: Tensor, rises: Tensor) -> Tensor:
    """Return how far one-sided slopes stay apart as the step shrinks: 0 but for a kink at x.

    Central differences are the same at all steps there. One-sided slopes at h differ by
    ``kink + h f'' + h^3 f'''' / 12 + ...``: extrapolated to 0, of which the least is taken.

    Args:
        moves: By h and -h, h/2 and -h/2, and so on [2 * levels, N].
        rises: Of the function [2 * levels, N].
    """
    slopes = rises / moves
    column = list(slopes[0::2] - slopes[1::2])
    least = column[-1].abs()
    for order in range(1, len(column)):
        column = _extrapolated(column, 2.0 ** (2 * order - 1))
        least = torch.minimum(least, torch.stack(column).abs().amin(0))
    return least


def _extrapolated(column: list[Tensor], weight: float) -> list[Tensor]:
    """Return a column of Neville's table without the term that halving divides by the weight."""
    return [(weight * b - a) / (weight - 1) for a, b in pairwise(column)]


FORMULAS = {
    "forward": Formula((1, 2), 2, _forward),
    "central": Formula((2, -2, 1, -1), 3, _central),
    "richardson": Formula(
        tuple(sign * 0.5**k for k in range(LEVELS) for sign in (1, -1)), 7, _richardson
    ),
}
