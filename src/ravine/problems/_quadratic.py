"""DeepOBS's `quadratic_deep`: a noisy quadratic bowl with the curvature of a deep network.

Schneider, Balles & Hennig 2019, "DeepOBS: A Deep Learning Optimizer Benchmark Suite", ICLR,
arXiv:1903.05499. Rotation: Diaconis & Shahshahani 1987, "The subgroup algorithm for generating
uniform random variables".
"""

import numpy as np
import torch
from torch import Tensor, nn

from ravine.problems._data import Data
from ravine.problems._losses import Loss

DIMENSIONS = 100
_STEEP = 10  # eigenvalues far above the rest, as the Hessians of deep networks have
_NOISE = 0.6
_TRAIN_ROWS = 1000
_TEST_ROWS = 896  # of 1000: DeepOBS drops the last partial batch of 128 in its test too
_TRAIN_SEED, _TEST_SEED = 42, 43


class Bowl(nn.Module):
    """Outputs ``x - w`` [B, D], with one parameter vector w [D] that starts at 1."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(dimensions))

    def forward(self, x: Tensor) -> Tensor:
        """Return the distance of every row x to the weights, [B, D]."""
        return x - self.w


def quadratic_model(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the model of `quadratic_deep`; it starts at w = 1 for every seed."""
    return Bowl(*input_shape)


def quadratic_data() -> Data:
    """Return 1000 training and 896 official test rows from N(0, 0.6^2), float32 [1896, 100].

    The targets are 0 [1896, 100]: what the outputs ``x - w`` should be.
    """
    rows = [_rows(_TRAIN_SEED, _TRAIN_ROWS), _rows(_TEST_SEED, _TEST_ROWS)]
    x = torch.from_numpy(np.concatenate(rows).astype(np.float32))
    return Data("quadratic_deep", x, torch.zeros_like(x), official_test=_TEST_ROWS)


def _rows(seed: int, count: int) -> np.ndarray:
    # Drawn row by row, so fewer rows are the first ones of more.
    return np.random.RandomState(seed).normal(0.0, _NOISE, (count, DIMENSIONS))


def quadratic_loss() -> Loss:
    """Return ``loss(e, targets) = mean over rows of 0.5 e^T H e`` with `hessian`'s H."""
    h = torch.from_numpy(hessian())

    def quadratic(outputs: Tensor, targets: Tensor) -> Tensor:
        error = outputs - targets
        return 0.5 * ((error @ h.to(outputs.device, outputs.dtype)) * error).sum(-1).mean()

    return quadratic


def hessian() -> np.ndarray:
    """Return ``H = R^T D R``, float64 [100, 100]: D has 90 values U(0, 1) and 10 U(30, 60)."""
    random = np.random.RandomState(_TRAIN_SEED)
    flat = random.uniform(0.0, 1.0, DIMENSIONS - _STEEP)
    eigenvalues = np.concatenate([flat, random.uniform(30.0, 60.0, _STEEP)])
    rotation = random_rotation(DIMENSIONS, random)
    return rotation.T @ (eigenvalues[:, None] * rotation)


def random_rotation(dimensions: int, random: np.random.RandomState) -> np.ndarray:
    """Return a rotation matrix, uniform over all rotations, by the subgroup algorithm."""
    angle = 2 * np.pi * random.rand()
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for size in range(3, dimensions + 1):
        v = random.normal(size=size)
        x = -v / np.linalg.norm(v)
        x[0] += 1
        x /= np.linalg.norm(x)  # the direction from v to e1: reflecting along it swaps the two
        grown = np.eye(size)
        grown[1:, 1:] = rotation
        rotation = grown - 2 * np.outer(x, x @ grown)
    return -rotation
