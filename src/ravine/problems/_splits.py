"""Which rows train, validate and test for a seed, and the normalisation that train gives."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ravine.core.seeding import rng
from ravine.problems._data import CHUNK, Data

TEST_FRACTION = 0.2  # of all rows, where the data has no official test set


class Split(NamedTuple):
    """The rows of one seed, and the normalisation from its training rows.

    The input of a model is ``(x.to(dtype) - shift) * scale``. `train`, `validation` and `test`
    are ascending int64 rows of `Data.x`; `shift` and `scale` are float64, (C, 1, 1) for images
    and (D,) for vectors.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    shift: Tensor
    scale: Tensor


def split_rows(
    data: Data, seed: int, validation: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the train, validation and test rows of a seed, stratified by class.

    The number of rows per part and class is the same for every seed (see `largest_remainder`),
    so members of different seeds have equal shapes.

    Args:
        data: the data.
        seed: fixes which rows go where.
        validation: fraction of the rows that are not test, in [0, 1).
    """
    rows = np.arange(data.training_rows)
    if data.official_test:
        test = np.arange(data.training_rows, len(data.x))
    else:
        rows, test = _draw(data, rows, TEST_FRACTION, rng(seed, "split", "test"))
    train, held_out = _draw(data, rows, validation, rng(seed, "split", "validation"))
    return train, held_out, test


def _draw(
    data: Data, rows: np.ndarray, fraction: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows kept, rows drawn), the same number drawn from a class for every seed."""
    labels = data.y.numpy()[rows] if data.classes is not None else np.zeros(len(rows), np.int64)
    counts = np.bincount(labels, minlength=1)
    shuffled = generator.permutation(len(rows))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    drawn = np.zeros(len(rows), bool)
    drawn[by_class] = rank < largest_remainder(counts, fraction)[labels[by_class]]
    return rows[~drawn], rows[drawn]


def largest_remainder(counts: np.ndarray, fraction: float) -> np.ndarray:
    """Return how many rows of each class to draw, [K], by the largest-remainder method.

    Each class gives floor(fraction * count) rows; what is then missing to the rounded total goes
    to the classes with the largest remainders, lower classes first. A class of one row gives none:
    it stays in train.

    >>> largest_remainder(np.array([10, 7, 7, 1]), 0.2).tolist()
    [2, 2, 1, 0]
    """
    quota = np.where(counts > 1, fraction * counts, 0.0)
    taken = np.floor(quota).astype(np.int64)
    missing = round(quota.sum()) - taken.sum()
    taken[np.argsort(taken - quota, kind="stable")[:missing]] += 1
    return taken


def normalisation(data: Data, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return shift = mean and scale = 1 / standard deviation over the given rows, float64.

    Per channel for images, per feature for vectors; the scale of a constant one is 1. Read in
    chunks, so that no float copy of the data is made.
    """
    # Sums of x - origin: constant values give a deviation of exactly 0, and a mean that is large
    # beside the deviation costs no digits.
    origin = data.x[rows[0]].double()
    if origin.ndim == 3:
        origin = origin[:, :1, :1]
    over = (0, 2, 3) if origin.ndim == 3 else (0,)
    total, squares = torch.zeros_like(origin), torch.zeros_like(origin)
    for start in range(0, len(rows), CHUNK):
        centred = data.x[rows[start : start + CHUNK]].double() - origin
        total += centred.sum(over).view_as(total)
        squares += centred.square_().sum(over).view_as(total)
    count = len(rows) * data.x[0].numel() / origin.numel()
    mean = total / count
    deviation = (squares / count - mean**2).clamp(min=0).sqrt()
    return origin + mean, torch.where(deviation > 0, 1 / deviation, 1.0)
