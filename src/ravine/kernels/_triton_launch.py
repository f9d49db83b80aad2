"""A launch on a GPU: all that a step reads lies in device memory, so that it can be captured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.kernels._kernel import addresses
from ravine.kernels._triton_kernel import (
    TritonKernel,
    TritonPlan,
    interpreted,
    triton_kernel,
    triton_plan,
)
from ravine.rules import Rule


@dataclass(eq=False)
class CudaLaunch:
    """What one rule updates on one GPU; `step` queues kernels and does nothing else.

    A CUDA graph that captured `step` counts steps and reads rates anew at each replay: to change
    a rate, write to `rows` on the device. `set_hypers` and `point_at` copy what has changed from
    the host without waiting; captured, they copy the same numbers at each replay.

    Args:
        compiled: The rule's kernel.
        rows: ``[rows, 1 + hyper-parameters]``: steps made and hyper-parameters, on the device.
        scalars: ``[rows, scalars]``: what the rule keeps per tensor or member, on the device.
        first_rows: First row of each parameter; it has several where sums run over channels.
    """

    compiled: TritonKernel
    rows: Tensor
    scalars: Tensor
    first_rows: NDArray[np.int64]
    _plan: TritonPlan = field(repr=False)
    _columns: list[Sequence[Tensor]] = field(repr=False)
    _addresses: NDArray[np.int64] = field(repr=False)
    _tensors: Tensor = field(repr=False)
    _hypers: NDArray[np.float64] = field(repr=False)
    _aligned: bool = False

    def __post_init__(self) -> None:
        self._aligned = _on_borders(self._addresses)

    def step(self) -> None:
        """Queue one step on the current stream."""
        self.compiled(self._tensors, self.rows, self.scalars, self._plan, aligned=self._aligned)
        torch.autograd.graph.increment_version(self._columns[0])

    def point_at(self, gradients: Sequence[Tensor]) -> None:
        """Take gradients from other memory: one per parameter, laid out as it; not checked."""
        self._columns[1] = gradients
        found = addresses(self._columns)
        if not np.array_equal(found, self._addresses):
            self._addresses, self._aligned = found, _on_borders(found)
            _send(found, self._tensors)

    def set_hypers(self, hypers: NDArray[np.float64]) -> None:
        """Set hyper-parameters ``[parameters, hyper-parameters]`` from the host."""
        if not np.array_equal(hypers, self._hypers):
            self._hypers = hypers.copy()
            _send(hypers[self._plan.rows[:, 1]], self.rows[:, 1:])


def cuda_launch(
    rule: Rule,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Mapping[str, Sequence[Tensor]],
    scalars: NDArray[np.float64],
    rows: NDArray[np.float64],
) -> CudaLaunch:
    """Return the launch of the parameters that a rule updates on one GPU.

    Args:
        rule: The rule, modifiers included.
        parameters: Dense parameters of one dtype on one GPU, at least one.
        gradients: Gradient of each, of its dtype and laid out as it.
        states: Per state of the rule one tensor per parameter, laid out as it; all states in its
            dtype or all in float32.
        scalars: Values [parameters, scalars] of what the rule keeps per tensor or member.
        rows: Values [parameters, 1 + hyper-parameters]: steps made, and the hyper-parameters.

    Raises:
        SettingError: When a tensor is not as told, or Triton is not installed.
    """
    device, dtype = parameters[0].device, parameters[0].dtype
    columns = [states[name] for name in rule.state]
    state_dtype = columns[0][0].dtype if columns else dtype
    compiled = triton_kernel(rule, dtype, state_dtype)
    if device.type != "cuda" and not interpreted():
        raise SettingError(f"parameters must be on a CUDA device, got {device}; use kernel() there")
    _check_dense(parameters, contiguous=compiled.program.finest == "channel")
    _check_alike("parameters", parameters, parameters, device, dtype)
    _check_alike("gradients", gradients, parameters, device, dtype)
    for name, column in zip(rule.state, columns, strict=True):
        _check_alike(f"state {name}", column, parameters, device, state_dtype)
    plan = triton_plan(compiled, [p.shape for p in parameters], device)
    tensor = plan.rows[:, 1]
    found = addresses([parameters, gradients, *columns])
    return CudaLaunch(
        compiled,
        torch.tensor(rows[tensor], device=device),
        torch.tensor(scalars[tensor], device=device),
        np.searchsorted(tensor, np.arange(len(parameters))),
        plan,
        [parameters, gradients, *columns],
        found,
        torch.tensor(found, device=device),
        rows[:, 1:].copy(),
    )


def _check_dense(parameters: Sequence[Tensor], *, contiguous: bool) -> None:
    for i, parameter in enumerate(parameters):
        if contiguous and not parameter.is_contiguous():
            raise SettingError(
                f"parameters[{i}] must be contiguous for a rule with sums over channels, got"
                f" strides {parameter.stride()}"
            )
        if not torch.ops.aten.is_non_overlapping_and_dense(parameter):
            raise SettingError(
                f"parameters[{i}] must be dense in memory, got shape {tuple(parameter.shape)} with"
                f" strides {parameter.stride()}"
            )


def _check_alike(
    what: str,
    tensors: Sequence[Tensor],
    parameters: Sequence[Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Check that tensors lie in memory as their parameters do."""
    for i, (tensor, parameter) in enumerate(zip(tensors, parameters, strict=True)):
        found = tensor.device, tensor.dtype, tuple(tensor.shape), tensor.stride()
        wanted = device, dtype, tuple(parameter.shape), parameter.stride()
        if found != wanted:
            raise SettingError(
                f"{what}[{i}] must have device, dtype, shape and strides {wanted}, got {found};"
                " give other tensors a launch of their own, or copy them"
            )


def _send(values: NDArray[np.int64] | NDArray[np.float64], table: Tensor) -> None:
    """Copy from the host while it goes on."""
    source = torch.from_numpy(values)
    # Each copy from memory of its own: the host may bring new values before this copy is made.
    # torch keeps pinned memory until then, and that of a captured copy as long as its graph.
    table.copy_(source.pin_memory() if table.is_cuda else source, non_blocking=True)


def _on_borders(found: NDArray[np.int64]) -> bool:
    """Whether all addresses are multiples of 16, as those of whole tensors are."""
    return bool((found % 16 == 0).all())
