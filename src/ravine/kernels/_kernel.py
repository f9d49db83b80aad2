"""The CPU kernel: a rule's program compiled by Numba, run over tensors through their addresses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.core.version import __version__
from ravine.kernels._cache import compiled_with, load_lightly, module_from_source
from ravine.kernels._lower import Program, lower
from ravine.kernels._native import native
from ravine.kernels._numba_source import numba_source
from ravine.kernels._pieces import CHUNK, chunk_length, cut, lanes
from ravine.kernels._prepared import Prepared
from ravine.rules import Rule

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


@dataclass(frozen=True, eq=False)
class Kernel:
    """A compiled rule for one dtype.

    Args:
        rule: The rule, modifiers included.
        program: Its straight-line code.
        dtype: Of weights, gradients and states.
    """

    rule: Rule
    program: Program
    dtype: torch.dtype
    _step: Any = field(repr=False)
    _loops: tuple[Any, ...] = field(repr=False)

    def __call__(
        self,
        tensors: NDArray[np.int64],
        rows: NDArray[np.float64],
        scalars: NDArray[np.float64],
        plan: "Plan",
    ) -> None:
        """Run one step in place.

        Args:
            tensors: Addresses [tensors, 2 + states or more] of weights, gradients and states.
            rows: Values [rows, 1 + hyper-parameters] of ``t`` and the hyper-parameters.
            scalars: Values [rows, scalars] of what the rule keeps per tensor or member.
            plan: Which parts of the tensors to update with which row.
        """
        self.over(tensors, rows, scalars, plan)()

    def over(
        self,
        tensors: NDArray[np.int64],
        rows: NDArray[np.float64],
        scalars: NDArray[np.float64],
        plan: "Plan",
    ) -> Prepared:
        """Return the step over tables that stay where they are; arguments as in a call."""
        program, count = self.program, len(plan.rows)
        tables = (
            kernel_table(
                tensors, np.int64, (len(tensors), max(tensors.shape[1], len(program.arrays)))
            ),
            kernel_table(rows, np.float64, (count, len(program.numbers))),
            kernel_table(scalars, np.float64, (count, len(program.scalars))),
        )
        places = (tensors.strides[0], *(table.ctypes.data for table in tables), *plan.addresses)
        return Prepared(self._step, places, self._loops, plan.elements, (tables, plan))


def kernel_table(
    table: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return a table that compiled code may address, as it is."""
    if table.shape != shape or table.dtype != dtype or not table.flags.c_contiguous:
        raise ValueError(
            f"a kernel's table must be {np.dtype(dtype)} of shape {shape} without gaps, got"
            f" {table.dtype} of shape {table.shape}; see Kernel's arguments"
        )
    return table


@dataclass(frozen=True, eq=False)
class Plan:
    """The pieces that a kernel runs over, and its work space.

    Args:
        chunks: ``[chunks, 4]``: tensor, start in bytes, length in elements, row.
        rows: ``[rows, 2]``: position of the slot and number of the tensor that a row of
            hyper-parameters belongs to; where tensors share a row, the first of them.
        owners: ``[rows, 3]``: first row of the row's tensor, first row of its member, and whether
            its tensor has channels.
    """

    chunks: NDArray[np.int64]
    rows: NDArray[np.int64]
    owners: NDArray[np.int64]
    constants: NDArray[Any] = field(repr=False)
    partial: NDArray[np.float64] = field(repr=False)
    sums: NDArray[np.float64] = field(repr=False)

    @cached_property
    def elements(self) -> int:
        """How many weights there are."""
        return int(self.chunks[:, 2].sum())

    @cached_property
    def lanes(self) -> NDArray[np.int64]:
        """First chunk of each thread's share, and the end."""
        return lanes(self.chunks[:, 2], CHUNK)

    @cached_property
    def addresses(self) -> tuple[int, ...]:
        """Where its tables lie, and the numbers of chunks, rows and lanes."""
        tables = (self.chunks, self.owners, self.constants, self.partial, self.sums, self.lanes)
        counts = (len(self.chunks), len(self.rows), len(self.lanes) - 1)
        return (*(table.ctypes.data for table in tables), *counts)


@lru_cache(maxsize=256)
def kernel(rule: Rule, dtype: torch.dtype) -> Kernel:
    """Return the compiled kernel of a rule, ready to run.

    Args:
        rule: The rule, modifiers included.
        dtype: Of weights, gradients and states.

    Raises:
        SettingError: When the dtype is neither float32 nor float64, or the formula cannot be
            traced.
    """
    if dtype not in DTYPES:
        raise SettingError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
    program = lower(rule)
    # By name without convention: conventions that only differ in defaults share one module.
    source = numba_source(program, rule.name, DTYPES[dtype], __version__)
    module = module_from_source(rule.name, source, *compiled_with())
    load_lightly(module.step)
    loops = tuple(native(getattr(module, f"chunks_{i}")) for i in range(len(program.stages)))
    compiled = Kernel(rule, program, dtype, module.step, loops)
    # A step over no chunks: whatever has to be compiled is compiled now.
    nothing = np.zeros((0, len(program.arrays)), np.int64)
    numbers, scalars = np.zeros((0, len(program.numbers))), np.zeros((0, len(program.scalars)))
    compiled(nothing, numbers, scalars, plan(compiled, []))
    return compiled


def plan(
    kernel: Kernel,
    shapes: Sequence[Sequence[int]],
    slots: Sequence[int] = (0,),
    *,
    per_tensor: bool = True,
) -> Plan:
    """Cut tensors into chunks, give each its row, and make room for the kernel's work.

    Args:
        kernel: The kernel that will run.
        shapes: Shape of each weight tensor of one member.
        slots: Where members lie: slot ``s`` is the ``s``-th piece of that shape in each tensor.
        per_tensor: Whether every tensor has a row of hyper-parameters of its own; otherwise the
            tensors of a member share one, where the formula allows it.
    """
    # Sums are added chunk by chunk: how a member is cut must not depend on its neighbours.
    weights = 0 if kernel.program.sums else sum(map(math.prod, shapes)) * len(slots)
    length = chunk_length(weights)
    chunks, rows, owners = cut(kernel.program, shapes, slots, length, per_tensor=per_tensor)
    chunks[:, 1] *= kernel.dtype.itemsize
    sums = max(1, len(kernel.program.sums))
    return Plan(
        chunks,
        rows,
        owners,
        np.zeros((len(rows), kernel.program.width), dtype=DTYPES[kernel.dtype]),
        np.zeros((len(chunks), sums)),
        np.zeros((len(rows), sums)),
    )


def addresses(columns: Sequence[Sequence[Tensor]]) -> NDArray[np.int64]:
    """Return the table of addresses [tensors, arrays] of equally long columns of tensors."""
    return np.array([[t.data_ptr() for t in column] for column in columns], dtype=np.int64).T.copy()
