"""The CPU kernel: a rule's program compiled by Numba, run over tensors through their addresses."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.core.version import __version__
from ravine.kernels._cache import module_from_source
from ravine.kernels._lower import Program, lower
from ravine.kernels._numba_source import numba_source
from ravine.rules import Rule

# Small enough that a chunk's arrays stay in the second-level cache, large enough that the call
# costs nothing: 32 Ki elements.
CHUNK = 32 * 1024

DTYPES = {torch.float32: "float32", torch.float64: "float64"}

# Numba's portable thread pool aborts the process when two threads enter it at once. Kernels that
# use no threads need no lock, so a forked worker never waits for one that its parent held.
_POOL = Lock()
_FREE = nullcontext()


@dataclass(frozen=True, eq=False)
class Kernel:
    """A compiled rule for one dtype.

    Args:
        rule: The rule, modifiers included.
        program: Its straight-line code.
        dtype: Of weights, gradients and states.
        parallel: Whether a step is shared among threads.
    """

    rule: Rule
    program: Program
    dtype: torch.dtype
    parallel: bool
    _step: Any = field(repr=False)

    def __call__(self, tensors: NDArray[np.int64], rows: NDArray[np.float64], plan: "Plan") -> None:
        """Run one step in place.

        Args:
            tensors: Addresses [tensors, 2 + states] of weights, gradients and states.
            rows: Values [rows, 1 + hyper-parameters] of ``t`` and the hyper-parameters.
            plan: Which parts of the tensors to update with which row.
        """
        with _POOL if self.parallel else _FREE:
            self._step(
                tensors, plan.chunks, rows, plan.member, plan.constants, plan.partial, plan.sums
            )


@dataclass(frozen=True, eq=False)
class Plan:
    """The pieces that a kernel runs over, and its work space.

    Args:
        chunks: ``[chunks, 4]``: tensor, start in bytes, length in elements, row.
        member: ``[rows]``: first row of the member that a row belongs to.
    """

    chunks: NDArray[np.int64]
    member: NDArray[np.int64]
    constants: NDArray[Any] = field(repr=False)
    partial: NDArray[np.float64] = field(repr=False)
    sums: NDArray[np.float64] = field(repr=False)


@lru_cache(maxsize=256)
def kernel(rule: Rule, dtype: torch.dtype, *, parallel: bool = True) -> Kernel:
    """Return the compiled kernel of a rule, ready to run.

    Args:
        rule: The rule, modifiers included.
        dtype: Of weights, gradients and states.
        parallel: Whether a step is shared among threads; a worker with one core wants none.

    Raises:
        SettingError: When the dtype is neither float32 nor float64, or the formula cannot be
            traced.
    """
    if dtype not in DTYPES:
        raise SettingError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
    import numba  # noqa: PLC0415  (costs 0.4 s, which a program that only builds a model saves)

    program = lower(rule)
    # By name without convention: conventions that only differ in defaults share one module.
    source = numba_source(program, rule.name, DTYPES[dtype], __version__, parallel=parallel)
    module = module_from_source(rule.name, source, numba.__version__, np.__version__)
    compiled = Kernel(rule, program, dtype, parallel, module.step)
    # A step over no chunks: whatever has to be compiled is compiled now.
    nothing = np.zeros((0, len(program.arrays)), np.int64)
    compiled(nothing, np.zeros((0, len(program.numbers))), plan(compiled, [], []))
    return compiled


def plan(
    kernel: Kernel, pieces: Sequence[tuple[int, int, int, int]], member: Sequence[int]
) -> Plan:
    """Cut pieces of tensors into chunks and make room for the kernel's work.

    Args:
        kernel: The kernel that will run.
        pieces: ``(tensor, start, length, row)`` in elements.
        member: First row of the member that each row belongs to; a member's rows follow each
            other. Only sums over a member read it.
    """
    size = torch.empty((), dtype=kernel.dtype).element_size()
    chunks = [
        (tensor, (start + offset) * size, min(CHUNK, length - offset), row)
        for tensor, start, length, row in pieces
        for offset in range(0, length, CHUNK)
    ]
    sums = max(1, len(kernel.program.sums))
    return Plan(
        np.array(chunks, dtype=np.int64).reshape(-1, 4),
        np.array(member, dtype=np.int64),
        np.zeros((len(member), kernel.program.width), dtype=DTYPES[kernel.dtype]),
        np.zeros((len(chunks), sums)),
        np.zeros((len(member), sums)),
    )


def addresses(columns: Sequence[Sequence[Tensor]]) -> NDArray[np.int64]:
    """Return the table of addresses [tensors, arrays] of equally long columns of tensors."""
    return np.array([[t.data_ptr() for t in column] for column in columns], dtype=np.int64).T.copy()
