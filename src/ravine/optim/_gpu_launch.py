"""A launch on a GPU: the parameters of one rule, updated by Triton's kernels without waiting.

Once prepared, a step copies to the device what has changed on the host and queues kernels; it can
be captured in a CUDA graph. Steps and scalars are counted on the device, states hold views of them.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from operator import is_
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import TRITON_DTYPES, cuda_launch, lower
from ravine.optim._groups import Group, places_of
from ravine.optim._long_way import Leaf
from ravine.optim._memory import gradient, kernel_can
from ravine.optim._states import State, States, share_member_scalars, state_key
from ravine.rules import Rule


def gpu_can(rule: Rule, leaves: Sequence[Leaf]) -> bool:
    """Whether Triton's kernels can update all parameters of a rule in one launch."""
    parameters = [leaf.parameter for leaf in leaves]
    first = parameters[0]
    return (
        first.device.type == "cuda"
        and find_spec("triton") is not None
        and all(_can(p, first, lower(rule).finest) for p in parameters)
    )


def _can(parameter: Tensor, first: Tensor, finest: str) -> bool:
    return (
        parameter.device == first.device
        and parameter.dtype == first.dtype
        and kernel_can(parameter, "cuda", TRITON_DTYPES)
        and (finest != "channel" or parameter.is_contiguous())
    )


class GpuLaunch:
    """What the kernels update: parameters that have made their first step.

    Args:
        rule: The rule.
        groups: Its groups.
        leaves: Their parameters with gradients, group by group, with their states.
        states: The optimizer's states.
        counted: Whether states count their steps.
    """

    def __init__(
        self,
        rule: Rule,
        groups: Sequence[Group],
        leaves: Sequence[Leaf],
        states: States,
        *,
        counted: bool,
    ) -> None:
        self._groups = list(groups)
        self._parameters = [leaf.parameter for leaf in leaves]
        self._layouts = list(map(_layout, self._parameters))
        self._kept = [leaf.state for leaf in leaves]
        group_of = {id(p): i for i, group in enumerate(groups) for p in group["params"]}
        self._group = np.array([group_of[id(p)] for p in self._parameters], np.int64)
        self._places = [places_of(group, rule) for group in groups]
        keys = [state_key(rule, name) for name in rule.state]
        scalar_keys = [state_key(rule, name) for name in rule.scalars]
        scalars = [[float(state[key]) for key in scalar_keys] for state in self._kept]
        self._launch = cuda_launch(
            rule,
            self._parameters,
            [leaf.gradient for leaf in leaves],
            {n: [s[k] for s in self._kept] for n, k in zip(rule.state, keys, strict=True)},
            np.array(scalars, dtype=np.float64).reshape(len(leaves), -1),
            np.array([[leaf.t, *(leaf.hypers[n] for n in rule.hypers)] for leaf in leaves]),
        )
        columns = {"step": self._launch.rows[:, 0]} if counted else {}
        columns |= {key: self._launch.scalars[:, i] for i, key in enumerate(scalar_keys)}
        for state, row in zip(self._kept, self._launch.first_rows.tolist(), strict=True):
            state.update({key: column[row] for key, column in columns.items()})
        share_member_scalars(states, rule, self._parameters)
        names = [*keys, *columns]
        self._held = [(state, name, state[name]) for state in self._kept for name in names]

    def step(self, groups: Sequence[Group], states: Mapping[Tensor, State]) -> bool:
        """Update every parameter by one step, if the launch still fits.

        Args:
            groups: The rule's groups now.
            states: The optimizer's states now.

        Returns:
            Whether it did; nothing has changed otherwise.
        """
        if not self._fits(groups, states):
            return False
        self._launch.point_at([gradient(p) for p in self._parameters])
        self._launch.set_hypers(self._settings(groups)[self._group])
        self._copy_from_device(groups)
        self._launch.step()
        return True

    def _fits(self, groups: Sequence[Group], states: Mapping[Tensor, State]) -> bool:
        found = [p for group in groups for p in group["params"] if p.grad is not None]
        return (
            len(groups) == len(self._groups)
            and all(map(is_, groups, self._groups))
            and len(found) == len(self._parameters)
            and all(map(is_, found, self._parameters))
            and list(map(_layout, found)) == self._layouts
            and all(states.get(p) is s for p, s in zip(found, self._kept, strict=True) if s)
            and all(state.get(name) is tensor for state, name, tensor in self._held)
        )

    def _settings(self, groups: Sequence[Group]) -> NDArray[np.float64]:
        """Return the groups' hyper-parameters; 0 for those that lie on the device."""
        values = [
            [_on_host(group, *place) for place in places]
            for group, places in zip(groups, self._places, strict=True)
        ]
        return np.array(values).reshape(len(groups), -1)

    def _copy_from_device(self, groups: Sequence[Group]) -> None:
        """Copy hyper-parameters that are tensors on the device: a graph reads them anew."""
        for number, (group, places) in enumerate(zip(groups, self._places, strict=True)):
            rows = self._rows_of(number)
            for column, place in enumerate(places, start=1):
                value = _value(group, *place)
                if isinstance(value, Tensor) and value.is_cuda:
                    self._launch.rows[rows, column] = value.to(torch.float64)

    def _rows_of(self, group: int) -> slice:
        # A group's parameters follow each other, and so do their rows.
        numbers = np.flatnonzero(self._group == group)
        ends = [*self._launch.first_rows.tolist(), len(self._launch.rows)]
        return slice(ends[numbers[0]], ends[numbers[-1] + 1]) if len(numbers) else slice(0)


def _value(group: Group, key: str, index: int | None) -> Any:
    return group[key] if index is None else group[key][index]


def _on_host(group: Group, key: str, index: int | None) -> float:
    value = _value(group, key, index)
    return 0.0 if isinstance(value, Tensor) and value.is_cuda else float(value)


def _layout(parameter: Tensor) -> tuple[Any, ...]:
    return parameter.dtype, parameter.device, parameter.shape, parameter.stride()
