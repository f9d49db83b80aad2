"""Compiled loops on torch's own threads, through its C interface.

Numba has threads of its own. Two pools on the same cores wait for each other: threads that have
just finished a loop of torch's spin for a while, and a loop of Numba's that follows finds its core
taken.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ravine.kernels._cache import light_cache

_LIBRARIES = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}


@cache
def torch_function(name: str) -> int:
    """Return the address of a function of torch's C interface.

    Raises:
        AttributeError: When this torch does not have it.
        OSError: When torch's library is not where it is expected.
    """
    return address_of(getattr(_library(), name))


def address_of(function: Any) -> int:
    """Return the address of a function that ctypes has found."""
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found


# 1 in a child of fork: the threads of the parent are not there, and waiting for them has no end.
FORKED = np.zeros(1, np.int64)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: FORKED.fill(1))


def native(function: Callable[[int, int, int], Any]) -> Any:
    """Return a loop over a range, compiled so that C code can call it at its ``address``.

    Args:
        function: Takes begin, end and an address; its compiled code is cached beside its file.
    """
    from numba import types  # noqa: PLC0415  (costs 0.4 s)
    from numba.core.ccallback import CFunc  # noqa: PLC0415

    signature = (types.int64, types.int64, types.int64), types.void
    compiled: Any = CFunc(function, signature, {}, {"error_model": "numpy"})
    compiled._cache = light_cache(function) or compiled._cache
    compiled.compile()
    return compiled


@cache
def _library() -> ctypes.CDLL:
    name = _LIBRARIES.get(sys.platform, "libtorch_cpu.so")
    return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
