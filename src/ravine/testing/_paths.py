"""A short descent whose gradient is the same for whoever asks: the path of the weights."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[np.float64]]
# From weights and the number of the step, from 1, to gradients.
Gradient = Callable[[Sequence[NDArray[np.float64]], int], Arrays]
Path = list[Arrays]

SHAPES = ((4, 3), (3,), (2, 3, 2))
STEPS = 100


def start(shapes: Sequence[tuple[int, ...]] = SHAPES) -> Arrays:
    """Return the first weights, of size about 1."""
    return [
        np.sin(1.7 * np.arange(1.0, 1 + math.prod(s)) + i).reshape(s) for i, s in enumerate(shapes)
    ]


def gradient(weights: Sequence[NDArray[np.float64]], t: int) -> Arrays:
    """Return gradients of a bowl whose centre moves, with ripples.

    Its curvature goes from 0.01 to 3 within a tensor, so that eps matters for some weights and
    not for others; the centre's swing keeps gradients away from 0 and lets them change sign.
    """
    found = []
    for i, w in enumerate(weights):
        curvature, centre = _bowl(w, t, i)
        found.append(curvature * (w - centre) + 0.05 * np.sin(3 * w))
    return found


def loss(weights: Sequence[NDArray[np.float64]], t: int) -> float:
    """Return the loss whose gradient `gradient` is, for optimizers that search along a line."""
    total = 0.0
    for i, w in enumerate(weights):
        curvature, centre = _bowl(w, t, i)
        total += float((curvature * (w - centre) ** 2 / 2 - 0.05 / 3 * np.cos(3 * w)).sum())
    return total


def _bowl(
    w: NDArray[np.float64], t: int, tensor: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    curvature = np.geomspace(0.01, 3.0, w.size).reshape(w.shape)
    return curvature, np.sin(0.37 * t + np.arange(w.size).reshape(w.shape) + tensor)


def rates(lr: float, steps: int = STEPS) -> list[float]:
    """Return the learning rate of each step: it falls and rises, by a factor of 5 at most.

    Each is ``lr`` times a multiple of 1/256: short enough that a product with a step is exact in
    single precision, in which HeavyBall computes it.
    """
    return [lr * round(256 * (0.6 + 0.4 * math.cos(t / 9))) / 256 for t in range(steps)]


def largest_difference(ours: Path, theirs: Path) -> float:
    """Return the largest difference of two paths, each tensor's relative to its largest weight.

    A NaN on one side only is an infinite difference.
    """
    if [len(a) for a in ours] != [len(b) for b in theirs]:
        raise ValueError("paths must have the same number of steps and tensors")
    pairs = [pair for step in zip(ours, theirs, strict=True) for pair in zip(*step, strict=True)]
    return max((_difference(a, b) for a, b in pairs), default=0.0)


def _difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.shape != b.shape:
        raise ValueError(f"weights must have one shape, got {a.shape} and {b.shape}")
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    apart = np.abs(np.where(np.isfinite(a), a - b, 0.0)).max(initial=0.0)
    size = np.abs(np.where(np.isfinite(b), b, 0.0)).max(initial=0.0)
    return float(apart / size) if size else float(apart)
