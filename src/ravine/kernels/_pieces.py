"""Cutting the tensors of members into chunks, and which row of numbers each chunk uses."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ravine.kernels._lower import Program

# Elements of a chunk: large enough that the call costs nothing, and worth a thread.
CHUNK = 32 * 1024
LONGEST = 4 * CHUNK  # 5 % faster over much memory, which is read ahead within a chunk
_CHUNKS = 64  # at least, before they grow longer, so that threads get equal shares


class Pieces(NamedTuple):
    """What a kernel runs over.

    Args:
        chunks: ``[chunks, 4]``: tensor, start and length in elements, row; rows in rising order.
        rows: ``[rows, 2]``: position of the slot and number of the tensor that a row belongs to;
            where tensors share a row, the first of them.
        owners: ``[rows, 3]``: first row of the row's tensor, first row of its member, and whether
            its tensor has channels.
    """

    chunks: NDArray[np.int64]
    rows: NDArray[np.int64]
    owners: NDArray[np.int64]


def cut(
    program: Program,
    shapes: Sequence[Sequence[int]],
    slots: Sequence[int],
    chunk: int,
    *,
    per_tensor: bool,
) -> Pieces:
    """Cut tensors into chunks and give each its row.

    Args:
        program: Of the rule, whose sums and scalars say what needs a row of its own.
        shapes: Shape of each weight tensor of one member.
        slots: Where members lie: slot ``s`` is the ``s``-th piece of that shape in each tensor.
        chunk: Largest number of elements of a chunk.
        per_tensor: Whether every tensor has a row of its own; otherwise the tensors of a member
            share one, where the formula allows it.
    """
    by_channel = program.finest == "channel"
    per_tensor = per_tensor or program.finest != "member"
    chunks: list[tuple[int, int, int, int]] = []
    rows: list[tuple[int, int]] = []
    owners: list[tuple[int, int, int]] = []
    for position, slot in enumerate(slots):
        member = first = len(rows)
        for tensor, shape in enumerate(shapes):
            length = math.prod(shape)
            parts = shape[0] if by_channel and len(shape) > 1 and length else 1
            if per_tensor or tensor == 0:
                first = len(rows)
                rows += [(position, tensor)] * parts
                owners += [(first, member, int(len(shape) > 1))] * parts
            part = length // parts
            chunks += [
                (tensor, slot * length + i * part + offset, min(chunk, part - offset), first + i)
                for i in range(parts)
                for offset in range(0, part, chunk)
            ]
    return Pieces(_table(chunks, 4), _table(rows, 2), _table(owners, 3))


def chunk_length(weights: int) -> int:
    """Return the length of chunks for so many weights."""
    return LONGEST if weights >= _CHUNKS * LONGEST else CHUNK


def lanes(lengths: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Return the first chunk of each lane, and the end: as many lanes as torch has threads.

    Lanes hold about equally many weights. With equally many chunks they would not: tensors end in
    short ones, and small tensors come first in most models. Each is one run of chunks, since
    neighbours are read ahead.

    Args:
        lengths: Elements of each chunk.
        least: Elements that are worth a thread.
    """
    total = int(lengths.sum())
    count = max(1, min(torch.get_num_threads(), total // least))
    middles = np.cumsum(lengths) - lengths / 2
    return np.searchsorted(middles, np.arange(count + 1) * total / count).astype(np.int64)


def _table(lines: Sequence[Sequence[int]], width: int) -> NDArray[np.int64]:
    return np.array(lines, dtype=np.int64).reshape(-1, width)
