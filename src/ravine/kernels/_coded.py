"""The CPU kernel for weights and states in few bits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ravine.core.errors import SettingError
from ravine.core.version import __version__
from ravine.kernels._cache import compiled_with, module_from_source
from ravine.kernels._coded_layout import Coding
from ravine.kernels._coded_source import coded_source, columns
from ravine.kernels._kernel import kernel_table
from ravine.kernels._lower import Program, lower
from ravine.kernels._native import native
from ravine.kernels._pieces import CHUNK, chunk_length, lanes
from ravine.kernels._prepared import Prepared
from ravine.rules import Rule


@dataclass(frozen=True, eq=False)
class CodedKernel:
    """A compiled elementwise rule for arrays in few bits.

    Args:
        rule: The rule, modifiers included.
        coding: How its arrays are stored.
        columns: Names of the arrays whose addresses a step takes, in order.
    """

    rule: Rule
    coding: Coding
    columns: tuple[str, ...]
    _program: Program = field(repr=False)
    _step: Any = field(repr=False)
    _loop: Any = field(repr=False)

    def __call__(
        self,
        tensors: NDArray[np.int64],
        rows: NDArray[np.float64],
        scalars: NDArray[np.float64],
        counters: NDArray[np.uint64],
        plan: "CodedPlan",
    ) -> None:
        """Run one step in place.

        Args:
            tensors: Addresses [tensors, columns].
            rows: Values [tensors, 1 + hyper-parameters] of ``t`` and the hyper-parameters.
            scalars: Values [tensors, scalars] of what the rule keeps per tensor.
            counters: Counters [tensors] of random bits, which the step moves on.
            plan: The tensors, cut into chunks.
        """
        self.over(tensors, rows, scalars, counters, plan)()

    def over(
        self,
        tensors: NDArray[np.int64],
        rows: NDArray[np.float64],
        scalars: NDArray[np.float64],
        counters: NDArray[np.uint64],
        plan: "CodedPlan",
    ) -> Prepared:
        """Return the step over tables that stay where they are; arguments as in a call."""
        program, count = self._program, len(plan.constants)
        tables = (
            kernel_table(tensors, np.int64, (count, len(self.columns))),
            kernel_table(rows, np.float64, (count, len(program.numbers))),
            kernel_table(scalars, np.float64, (count, len(program.scalars))),
            kernel_table(counters, np.uint64, (count,)),
            *(plan.chunks, plan.constants, plan.seeds, plan.lanes),
        )
        counts = (count, len(plan.lanes) - 1)
        places = (tensors.strides[0], *(t.ctypes.data for t in tables), *counts)
        elements = int(plan.chunks[:, 2].sum())
        return Prepared(self._step, places, [self._loop], elements, tables)


@dataclass(frozen=True, eq=False)
class CodedPlan:
    """The pieces that a kernel runs over, and its work space.

    Args:
        chunks: ``[chunks, 3]``: tensor, start and length in elements.
        constants: Of a step, per tensor.
        seeds: Of a step's random numbers, per tensor and stream.
    """

    chunks: NDArray[np.int64]
    constants: NDArray[np.float32] = field(repr=False)
    seeds: NDArray[np.uint32] = field(repr=False)

    @cached_property
    def lanes(self) -> NDArray[np.int64]:
        """First chunk of each thread's share, and the end."""
        return lanes(self.chunks[:, 2], CHUNK)


@lru_cache(maxsize=256)
def coded_kernel(rule: Rule, coding: Coding) -> CodedKernel:
    """Return the compiled kernel of an elementwise rule for arrays in few bits.

    Args:
        rule: The rule, modifiers included.
        coding: How its arrays are stored.

    Raises:
        SettingError: When the formula cannot be traced, or looks at several weights at once.
    """
    program = lower(rule)
    if not is_elementwise(rule):
        raise SettingError(f"rule {rule.name} must be elementwise to be stored in few bits")
    source = coded_source(program, coding, rule.name, __version__)
    helpers = compiled_with("_coded_bits", "_coded_layout")
    module = module_from_source(f"{rule.name}_coded", source, *helpers)
    names = tuple(column.name.strip("_") for column in columns(program, coding))
    compiled = CodedKernel(rule, coding, names, program, module.step, native(module.chunks))
    # A step over no chunks: whatever has to be compiled is compiled now.
    compiled(
        np.zeros((0, len(names)), np.int64),
        np.zeros((0, len(program.numbers))),
        np.zeros((0, len(program.scalars))),
        np.zeros(0, np.uint64),
        coded_plan(compiled, []),
    )
    return compiled


def is_elementwise(rule: Rule) -> bool:
    """Whether a rule updates each weight without looking at others."""
    program = lower(rule)
    return not program.sums and "member" not in program.scalars.values()


def coded_plan(kernel: CodedKernel, lengths: Sequence[int]) -> CodedPlan:
    """Cut tensors into chunks and make room for the kernel's constants.

    Args:
        kernel: The kernel that will run.
        lengths: Number of elements of each tensor.
    """
    longest = chunk_length(sum(lengths))
    chunks = [
        (tensor, start, min(longest, length - start))
        for tensor, length in enumerate(lengths)
        for start in range(0, length, longest)
    ]
    return CodedPlan(
        np.array(chunks, dtype=np.int64).reshape(-1, 3),
        np.zeros((len(lengths), kernel._program.width), dtype=np.float32),
        np.zeros((len(lengths), kernel.coding.streams), dtype=np.uint32),
    )
