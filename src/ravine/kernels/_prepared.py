"""A step of a kernel over tables that stay where they are, on threads worth waking."""

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

from ravine.kernels._native import FORKED, torch_function
from ravine.kernels._pieces import CHUNK

# Elements whose update, shared, saves more than it takes to wake a thread: 40 microseconds, and
# 600 where the system wakes it on the core of the one that waits for it.
_WORTH_WAKING = 16 * CHUNK
_AWAKE = 100_000  # nanoseconds: so long at least, threads look out for more work before they sleep
_ALONE = np.ones(1, np.int64)
_FORKED_AT, _ALONE_AT = int(FORKED.ctypes.data), int(_ALONE.ctypes.data)


class Prepared:
    """A step over tables that are edited in place between steps.

    Few elements are shared among threads only if the last step has just ended: a thread that
    sleeps takes longer to wake than it saves.

    Args:
        step: The kernel's compiled step.
        places: The words that it is given, up to those about loops.
        loops: Its compiled loops over chunks.
        elements: How many there are to update.
        alive: What must live as long: the tables.
    """

    def __init__(
        self, step: Any, places: Sequence[int], loops: Sequence[Any], elements: int, alive: Any
    ) -> None:
        share = torch_function("torch_parallel_for")
        ends = [int(loop.address) for loop in loops]
        words = np.array([[*places, share, at, *ends] for at in (_FORKED_AT, _ALONE_AT)], np.int64)
        self._step = step
        self._shared = int(words.ctypes.data)
        self._alone = self._shared + words.strides[0]
        self._small = elements < _WORTH_WAKING
        self._alive = words, loops, alive

    def __call__(self) -> None:
        """Run one step."""
        global _ended  # noqa: PLW0603  (threads are the process's own)
        asleep = self._small and perf_counter_ns() - _ended > _AWAKE
        self._step(self._alone if asleep else self._shared)
        _ended = perf_counter_ns()


_ended = 0  # when the last step of any kernel did
