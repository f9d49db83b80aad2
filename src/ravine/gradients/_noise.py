"""The rounding error of a function, measured from its values along a line."""

from collections.abc import Callable
from math import comb, nan

import torch

_STRIDES = {
    torch.float64: (1e-8, 1e-4, 1e-3, 1e-2),
    torch.float32: (1e-5, 1e-4, 1e-3, 1e-2),
}
_SMOOTH = 0.03  # rounding leaves about the same in differences of any order
_POINTS = 10  # of which a kink between two spoils three of seven third differences


def measured_noise(
    value: Callable[[float], float], dtype: torch.dtype, size: float, least: float
) -> float:
    """Return what `noise_along` finds, and `least` where that is less or there is none."""
    found = noise_along(value, dtype, size)
    return found if found > least else least


def noise_along(value: Callable[[float], float], dtype: torch.dtype, size: float) -> float:
    """Return three standard deviations of the rounding error of a function along a line.

    Third differences at small strides leave nothing of a smooth function but its rounding. A cast
    to a narrower dtype inside makes stairs, whose height shows only at strides of their width, so
    strides grow as long as the noise found is above what a smooth function would leave. Where
    sixth differences leave far less than third ones, it is the function that shows.

    Args:
        value: The function at a distance from the point.
        dtype: It is computed in.
        size: How much the function changes over a distance of one.

    Returns:
        0 where the function never changes, NaN where it is not finite.

    Source: More & Wild 2011, Estimating computational noise, section 3.
    """
    found = 0.0
    for stride in _STRIDES[dtype]:
        if found > 0 and found < 100 * stride**3 * size:
            break  # here the function itself would show
        values = torch.tensor(
            [value(k * stride) for k in range(1, _POINTS + 1)], dtype=torch.float64
        )
        if not bool(values.isfinite().all()):
            return found or nan
        noise, smooth = _noise(values)
        found = max(found, noise)
        if smooth:
            break
    return found


def _noise(values: torch.Tensor) -> tuple[float, bool]:
    """Return the noise of values at equal distances, and whether a function shows beside it."""
    rises = values.diff()
    jumps = rises != 0
    if bool((jumps[:-1] & ~jumps[1:]).any()):  # stairs, standing still after a jump
        return float(rises.abs().max()), False
    third, sixth = (_deviation(values, order) for order in (3, 6))
    smooth = sixth < _SMOOTH * third
    return 3 * (sixth if smooth else third), smooth


def _deviation(values: torch.Tensor, order: int) -> float:
    """Return the standard deviation of rounding that leaves such differences of an order."""
    middle = float(values.diff(n=order).abs().median())
    return middle / 0.6745 / comb(2 * order, order) ** 0.5  # the sum of squared binomials
