"""The fixed problem of the golden trajectories, in NumPy float64.

Twelve residuals of a layer ``tanh(W x + b) - y`` at four points and two that couple its rows,
``W^T b - c``; the loss is half their sum of squares.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHAPES = ((3, 2), (3,))
DESCRIPTION = (
    "half the sum of squares of tanh(W x_j + b) - y_j, j = 1..4, and W^T b - c;"
    " W is 3x2, b is 3; iterates are W row by row, then b"
)
START = (np.array([[0.9, -0.4], [0.3, 0.7], [-1.1, 0.2]]), np.array([0.5, -0.8, 0.1]))
X = np.array([[1.0, 0.5], [-0.7, 1.2], [0.3, -1.5], [-1.3, -0.6]])
Y = np.array([[-0.6, 0.4, 0.8], [0.7, -0.3, 0.1], [0.2, 0.9, -0.5], [-0.9, -0.1, 0.3]])
C = np.array([0.4, -0.6])


def flatten(tensors: Sequence[Array]) -> Array:
    """Return W and b as one vector of nine numbers."""
    return np.concatenate([np.ravel(t) for t in tensors])


def unflatten(w: Array) -> list[Array]:
    """Return W and b of a vector of nine numbers."""
    return [w[:6].reshape(3, 2).copy(), w[6:].copy()]


def residuals(w: Array) -> Array:
    """Return the fourteen residuals at a flat point."""
    weight, bias = unflatten(w)
    outputs = np.tanh(X @ weight.T + bias)
    return np.concatenate([(outputs - Y).ravel(), weight.T @ bias - C])


def jacobian(w: Array) -> Array:
    """Return the derivatives of the residuals [14, 9]."""
    weight, bias = unflatten(w)
    slopes = 1 - np.tanh(X @ weight.T + bias) ** 2
    # the pre-activation of output i at point j is x_j W_i + b_i
    rows = np.concatenate(
        [np.einsum("ji,ik,jl->jikl", slopes, np.eye(3), X).reshape(12, 6),
         np.einsum("ji,ik->jik", slopes, np.eye(3)).reshape(12, 3)],
        axis=1,
    )  # fmt: skip
    coupling = np.concatenate([np.einsum("i,kl->kil", bias, np.eye(2)).reshape(2, 6), weight.T], 1)
    return np.concatenate([rows, coupling])


def value(w: Array) -> float:
    """Return the loss at a flat point."""
    return float(residuals(w) @ residuals(w)) / 2


def gradient(w: Array) -> Array:
    """Return the gradient of the loss at a flat point."""
    return jacobian(w).T @ residuals(w)


def hessian(w: Array) -> Array:
    """Return the second derivatives of the loss [9, 9]: J^T J and the residuals' own curvature."""
    weight, bias = unflatten(w)
    r, outputs = residuals(w), np.tanh(X @ weight.T + bias)
    bends = r[:12].reshape(4, 3) * -2 * outputs * (1 - outputs**2)
    points = np.concatenate([X, np.ones((4, 1))], axis=1)
    full = jacobian(w).T @ jacobian(w)
    for i in range(3):
        own = [2 * i, 2 * i + 1, 6 + i]
        full[np.ix_(own, own)] += points.T @ (bends[:, i, None] * points)
        for k in range(2):
            full[2 * i + k, 6 + i] += r[12 + k]
            full[6 + i, 2 * i + k] += r[12 + k]
    return full


def gradients(tensors: Sequence[Array]) -> list[Array]:
    """Return the gradients with respect to W and b, in their shapes."""
    return unflatten(gradient(flatten(tensors)))
