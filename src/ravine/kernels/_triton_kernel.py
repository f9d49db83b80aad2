"""The GPU kernel: a rule's program compiled by Triton, run over tensors through their addresses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.core.version import __version__
from ravine.kernels._cache import module_from_source
from ravine.kernels._lower import Program, lower
from ravine.kernels._pieces import cut
from ravine.kernels._triton_source import CHUNK, computed_in, triton_source
from ravine.kernels._triton_words import head as triton_head
from ravine.rules import Rule

TRITON_DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}

# A row is done by one warp: with more of them one could count a step, or keep a scalar, before
# another has read the old number. It adds long sums 1024 at a time.
_ROW_WARPS = 1
_CHUNK_WARPS = 4


@dataclass(frozen=True, eq=False)
class TritonKernel:
    """A rule compiled for GPUs, for one dtype of weights and one of states.

    Args:
        rule: The rule, modifiers included.
        program: Its straight-line code.
        dtype: Of weights and gradients.
        state_dtype: Of states.
    """

    rule: Rule
    program: Program
    dtype: torch.dtype
    state_dtype: torch.dtype
    _module: ModuleType = field(repr=False)

    def __call__(
        self,
        tensors: Tensor,
        rows: Tensor,
        scalars: Tensor,
        plan: "TritonPlan",
        *,
        aligned: bool = False,
    ) -> None:
        """Queue one step in place on the current stream; the host waits for nothing.

        Two launches per stage, however many tensors, rows and members there are. All arguments
        lie on one device, and a captured graph reads them anew at each replay.

        Args:
            tensors: Addresses [tensors, 2 + states] of weights, gradients and states, int64.
            rows: Values [rows, 1 + hyper-parameters], float64: the number of steps made, which
                the kernel counts up by this one, and the hyper-parameters.
            scalars: Values [rows, scalars], float64, of what the rule keeps per tensor or member.
            plan: Which parts of the tensors to update with which row.
            aligned: Whether every address is a multiple of 16, which allows wider loads.
        """
        wide = aligned and plan.aligned
        with torch.cuda.device_of(rows):
            for stage in range(len(self.program.stages)):
                read = (rows, scalars, plan.spans, plan.partial)
                self._launch(
                    f"rows_{stage}", len(rows), _ROW_WARPS, *read, plan.sums, plan.constants
                )
                given = (tensors, plan.chunks, plan.constants, plan.partial, wide)
                self._launch(f"chunks_{stage}", len(plan.chunks), _CHUNK_WARPS, *given)
            if self.program.scalars:
                self._launch("share", len(rows), _ROW_WARPS, scalars, plan.owners)

    def _launch(self, name: str, count: int, warps: int, *arguments: Tensor | bool) -> None:
        if count:  # an empty grid is an error
            getattr(self._module, name)[(count,)](*arguments, num_warps=warps)


@dataclass(frozen=True, eq=False)
class TritonPlan:
    """The pieces that a kernel runs over, and its work space, on its device.

    Args:
        chunks: ``[chunks, 4]``: tensor, start and length in elements, row.
        rows: ``[rows, 2]``, on the host: position of the slot and number of the tensor that a row
            belongs to.
        owners: ``[rows, 3]``: first row of the row's tensor, first row of its member, and whether
            its tensor has channels.
        spans: ``[rows, 6]``: first chunk and end of the row's channel, tensor and member.
        aligned: Whether every chunk starts at a multiple of 16 bytes.
    """

    chunks: Tensor
    rows: NDArray[np.int64]
    owners: Tensor
    spans: Tensor
    aligned: bool
    constants: Tensor = field(repr=False)
    partial: Tensor = field(repr=False)
    sums: Tensor = field(repr=False)


@lru_cache(maxsize=256)
def triton_kernel(
    rule: Rule, dtype: torch.dtype, state_dtype: torch.dtype | None = None
) -> TritonKernel:
    """Return the GPU kernel of a rule; it is compiled when it first runs.

    Half precision is computed in single precision.

    Args:
        rule: The rule, modifiers included.
        dtype: Of weights and gradients: float32, float64, bfloat16 or float16.
        state_dtype: Of states: that of the weights, which is the default, or float32.

    Raises:
        SettingError: When a dtype is another one, the formula cannot be traced, or Triton is not
            installed.
    """
    state_dtype = state_dtype or dtype
    if dtype not in TRITON_DTYPES:
        known = ", ".join(map(str, TRITON_DTYPES))
        raise SettingError(f"dtype must be one of {known}, got {dtype}")
    if state_dtype not in (dtype, torch.float32):
        raise SettingError(f"state_dtype must be {dtype} or torch.float32, got {state_dtype}")
    head = triton_head(rule.name, __version__, interpreted=interpreted())
    program = lower(rule)
    names = TRITON_DTYPES[dtype], TRITON_DTYPES[state_dtype]
    dtypes = dict.fromkeys(program.arrays[:2], names[0])
    dtypes |= dict.fromkeys(program.arrays[2:], names[1])
    source = triton_source(program, head, dtypes)
    module = module_from_source(f"{rule.name}_triton", source)
    return TritonKernel(rule, program, dtype, state_dtype, module)


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU: ``TRITON_INTERPRET=1``.

    Raises:
        SettingError: When Triton is not installed.
    """
    try:
        from triton import knobs  # noqa: PLC0415  (a program without a GPU need not have it)
    except ImportError:
        raise SettingError(
            "kernels for CUDA need Triton, which torch's CUDA builds bring: pip install triton"
        ) from None
    return bool(knobs.runtime.interpret)


def triton_plan(
    kernel: TritonKernel,
    shapes: Sequence[Sequence[int]],
    device: torch.device,
    slots: Sequence[int] = (0,),
) -> TritonPlan:
    """Cut tensors into chunks, give each tensor a row, and make room for the kernel's work.

    Args:
        kernel: The kernel that will run.
        shapes: Shape of each weight tensor of one member.
        device: Where the kernel will run.
        slots: Where members lie: slot ``s`` is the ``s``-th piece of that shape in each tensor.
    """
    chunks, rows, owners = cut(kernel.program, shapes, slots, CHUNK, per_tensor=True)
    sums = max(1, len(kernel.program.sums))
    smallest = min(kernel.dtype.itemsize, kernel.state_dtype.itemsize)
    real = getattr(torch, computed_in(TRITON_DTYPES[kernel.dtype]))
    return TritonPlan(
        torch.from_numpy(chunks).to(device),
        rows,
        torch.from_numpy(owners).to(device),
        torch.from_numpy(_spans(chunks[:, 3], owners)).to(device),
        bool((chunks[:, 1] * smallest % 16 == 0).all()),
        torch.zeros(len(rows), kernel.program.width, dtype=real, device=device),
        torch.zeros(len(chunks), sums, dtype=torch.float64, device=device),
        torch.zeros(len(rows), sums, dtype=torch.float64, device=device),
    )


def _spans(row_of: NDArray[np.int64], owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first chunk and the end of each row's channel, tensor and member.

    Rows and chunks are in order, so those of a tensor or member follow each other.
    """
    ends = np.cumsum(np.bincount(row_of, minlength=len(owners)))
    begins = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    # A tensor without channels has sums of 0 over them.
    spans = [begins, np.where(owners[:, 2] == 1, ends, begins)]
    for owner in (owners[:, 0], owners[:, 1]):
        last = np.searchsorted(owner, owner, side="right") - 1
        spans += [begins[owner], ends[last]]
    return np.stack(spans, axis=1).astype(np.int64)
