"""Randomness that is seeded and owned: one stream per seed and purpose, never the global state."""

from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import numpy as np
import torch


def rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return NumPy's generator for one seed and purpose.

    Streams of different purposes are independent; the same arguments give the same stream on
    every machine.

    >>> int(rng(0, "order", 3).integers(100)) == int(rng(0, "order", 3).integers(100))
    True
    """
    return np.random.default_rng(_entropy(seed, purpose))


@contextmanager
def torch_seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Run a block with torch's CPU generator seeded by seed and purpose, and restore it after.

    For code that draws from the global generator, such as a module's initial weights.
    """
    words = np.random.SeedSequence(_entropy(seed, purpose)).generate_state(1, np.uint64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(words[0] >> np.uint64(1)))
        yield


def _entropy(seed: int, purpose: tuple[str | int, ...]) -> list[int]:
    # crc32 and not hash(): the latter is salted anew in every process.
    return [seed, *(crc32(p.encode()) if isinstance(p, str) else p for p in purpose)]
