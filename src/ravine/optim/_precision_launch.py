"""Steps of parameters and states in few bits: prepared once, then one kernel call each.

The kernel and the reference do the same to every bit but for the rounding of the formula itself:
decode, step in float32, encode.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import Prepared, addresses
from ravine.kernels._coded import CodedKernel, CodedPlan
from ravine.kernels._coded_layout import ONWARD, STOCHASTIC, Coding, seeds
from ravine.optim._groups import Group, hypers_of
from ravine.optim._memory import gradient, wide
from ravine.optim._precision_codecs import noise
from ravine.optim._precision_state import COMPENSATION, halved, keys_of, read, stored
from ravine.optim._states import State, state_key
from ravine.rules import Rule, reference_step

Member = tuple[Tensor, Group]


@dataclass(frozen=True, eq=False)
class CodedLaunch:
    """What one kernel call, or one reference step, updates.

    Args:
        rule: The rule.
        coding: How parameters and states are stored.
        compiled: The kernel; None where the reference steps.
        members: Parameters with their groups.
        layouts: Shape, strides and device of each parameter.
        states: The optimizer's state of each parameter.
        columns: Kept tensors by key, one per parameter.
        scalars: The rule's scalars [parameters, scalars], of which states hold views.
        steps: Steps made per parameter, of which states hold views; None where none are counted.
        counters: Of random bits per parameter, of which states hold views.
        table: ``t`` and hyper-parameters per parameter.
        plan: The kernel's plan.
    """

    rule: Rule
    coding: Coding
    compiled: CodedKernel | None
    members: list[Member]
    layouts: list[Any]
    states: list[State]
    columns: dict[str, list[Tensor]]
    scalars: Tensor
    steps: Tensor | None
    counters: Tensor
    table: NDArray[np.float64]
    plan: CodedPlan | None = field(repr=False)

    def fits(self, members: Sequence[Member], states: Mapping[Tensor, State]) -> bool:
        """Whether parameters, groups and states are still those that were prepared."""
        return (
            len(members) == len(self.members)
            and all(p is q and g is h for (p, g), (q, h) in zip(members, self.members, strict=True))
            and [layout(p) for p, _ in members] == self.layouts
            and all(states.get(p) is s for (p, _), s in zip(members, self.states, strict=True))
            and all(
                state.get(key) is tensor
                for key, column in self.columns.items()
                for state, tensor in zip(self.states, column, strict=True)
            )
        )

    def step(self) -> None:
        """Update every parameter by one step, wherever everything lies."""
        gradients = [gradient(p) for p, _ in self.members]
        self._set_hypers()  # before anything changes: a setting may be refused
        if self.steps is not None:
            self.steps.add_(1)
            self.table[:, 0] = self.steps.numpy()
        if self.compiled is None or self.plan is None:
            self._step_reference(gradients)
        else:
            kept = [self.columns[key] for key in keys_of(self.rule, self.coding)]
            tensors = addresses([[p for p, _ in self.members], gradients, *kept])
            self.update_at(tensors)()
        if self.steps is None:  # where steps are not counted, all but the first are the second
            self.table[:, 0] = 2
        torch.autograd.graph.increment_version([p for p, _ in self.members])

    def update_at(self, tensors: NDArray[np.int64]) -> Prepared:
        """Return the kernel's step over tensors at these addresses."""
        assert self.compiled is not None
        assert self.plan is not None
        scalars, counters = self.scalars.numpy(), self.counters.numpy().view(np.uint64)
        return self.compiled.over(tensors, self.table, scalars, counters, self.plan)

    def _set_hypers(self) -> None:
        groups = {id(group): group for _, group in self.members}
        found = {key: list(hypers_of(group, self.rule).values()) for key, group in groups.items()}
        self.table[:, 1:] = [found[id(group)] for _, group in self.members]

    def _step_reference(self, gradients: list[Tensor]) -> None:
        counters = self.counters.numpy().view(np.uint64)
        counters += ONWARD
        random = seeds(counters, self.coding.streams)
        weights, states = reference_step(
            self.rule,
            [self._wide_weight(i) for i in range(len(self.members))],
            [wide(g) for g in gradients],
            [{n: read(self.rule, n, state) for n in self.rule.kept} for state in self.states],
            self.table[:, 0].tolist(),
            [dict(zip(self.rule.hypers, row, strict=True)) for row in self.table[:, 1:].tolist()],
        )
        for i, (weight, new) in enumerate(zip(weights, states, strict=True)):
            self._keep(i, new, random[i])
            self._keep_weight(i, weight, random[i])

    def _wide_weight(self, i: int) -> Tensor:
        weight = wide(self.members[i][0])
        if self.coding.rounding == "kahan":
            return weight + self.states[i][COMPENSATION].float()
        return weight

    def _keep(self, i: int, new: Mapping[str, Tensor], random: NDArray[np.uint32]) -> None:
        parameter, state = self.members[i][0], self.states[i]
        for place, (name, codec) in enumerate(
            zip(self.rule.state, self.coding.states, strict=True)
        ):
            bits = self._bits(place, parameter, random) if codec in STOCHASTIC else None
            fresh = stored(state_key(self.rule, name), codec, new[name], parameter, bits)
            for key, tensor in fresh.items():
                state[key].copy_(tensor)
        for name in self.rule.scalars:
            state[state_key(self.rule, name)].copy_(new[name])

    def _keep_weight(self, i: int, weight: Tensor, random: NDArray[np.uint32]) -> None:
        parameter = self.members[i][0]
        if self.coding.rounding == "stochastic":
            plain = torch.empty_like(parameter, dtype=torch.float32).copy_(weight)
            parameter.copy_(halved(plain, self._bits(-1, parameter, random)))
        else:
            parameter.copy_(weight)
        if self.coding.rounding == "kahan":
            self.states[i][COMPENSATION].copy_(weight - parameter.float())

    def _bits(self, array: int, parameter: Tensor, random: NDArray[np.uint32]) -> Tensor:
        stream, half = divmod(self.coding.slots[array], 2)
        return noise(int(random[stream]), half, parameter)


def layout(parameter: Tensor) -> Any:
    """Return what must stay the same for a launch to fit."""
    return parameter.shape, parameter.stride(), parameter.device
