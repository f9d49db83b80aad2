"""Counting the steps of hundreds of parameters in compiled code, beside the kernel's table."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import load_lightly
from ravine.kernels._pointers import pointer_to_float32 as _singles
from ravine.kernels._pointers import pointer_to_float64 as _doubles
from ravine.kernels._pointers import pointer_to_int64 as _words

_inner = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Counter:
    """The steps of parameters, of which each state holds a view.

    Args:
        steps: Steps [parameters], of which states hold views.
        tensor_of: Number of the parameter whose step a row of the table holds [rows].
        row_of: Row of each parameter where several share one, else None.
        table: The kernel's table, whose first column gets the steps.
    """

    def __init__(
        self,
        steps: Tensor,
        tensor_of: NDArray[np.int64],
        row_of: NDArray[np.int64] | None,
        table: NDArray[np.float64],
    ) -> None:
        numbers = steps.numpy()
        double = {"float32": False, "float64": True}[numbers.dtype.name]
        first = None if row_of is None else tensor_of[row_of]
        self._tables = np.array(
            [
                *(double, len(numbers), len(tensor_of), table.shape[1]),
                *(numbers.ctypes.data, tensor_of.ctypes.data, table.ctypes.data),
                0 if first is None else first.ctypes.data,
            ],
            np.int64,
        )
        self._place = int(self._tables.ctypes.data)
        self._alive = (numbers, tensor_of, first, table)

    def count(self) -> bool:
        """Count a step; return False, with nothing counted, where rows no longer fit."""
        return bool(_count(self._place))


@_inner
def _count_all(steps, a):  # type: ignore[no-untyped-def]
    parameters, rows, width = a[1], a[2], a[3]
    tensor_of, table = _words(a[5]), _doubles(a[6])
    if a[7]:
        first = _words(a[7])
        for i in range(parameters):
            if steps[i] != steps[first[i]]:
                return False
    for i in range(parameters):
        steps[i] += 1
    for row in range(rows):
        table[row * width] = steps[tensor_of[row]]
    return True


@njit(cache=True)
def _count(place):  # type: ignore[no-untyped-def]
    """Count a step in the tables of a `Counter`, whose addresses are taken apart here."""
    a = _words(place)
    if a[0]:
        return _count_all(_doubles(a[4]), a)
    return _count_all(_singles(a[4]), a)


load_lightly(_count)
