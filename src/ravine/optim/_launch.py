"""A launch: the tensors of one rule, found and checked once, updated by one kernel call a step.

Finding states, layouts and plans anew at every step would cost half a millisecond for fifty
tensors, a tenth of the step itself. A launch keeps them and only checks that they still hold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import Kernel, Plan, addresses, plan
from ravine.optim._memory import gradient
from ravine.rules import Rule

Group = dict[str, Any]
State = dict[str, Any]
Layout = tuple[torch.Size, tuple[int, ...], torch.device]


@dataclass(frozen=True, eq=False)
class Launch:
    """What one kernel call updates.

    Args:
        compiled: The rule's kernel.
        groups: Each group that takes part, with its number of parameters, in order.
        parameters: The parameters, group by group.
        layouts: Shape, strides and device of each parameter.
        states: The optimizer's state of each parameter.
        columns: State tensors by their key, one per parameter.
        steps: Steps made per parameter, of which each state's ``step`` is a view; None where
            states do not count.
        table: The kernel's rows, ``t`` and hyper-parameters per parameter.
        pieces: The kernel's plan.
    """

    compiled: Kernel
    groups: tuple[tuple[Group, int], ...]
    parameters: list[Tensor]
    layouts: list[Layout]
    states: list[State]
    columns: dict[str, list[Tensor]]
    steps: Tensor | None
    table: NDArray[np.float64]
    pieces: Plan

    def fits(
        self, found: Sequence[tuple[Group, Sequence[Tensor]]], states: Mapping[Tensor, State]
    ) -> bool:
        """Whether the parameters with gradients, and their states, are still the same.

        Args:
            found: Each group of the rule with its parameters that have gradients.
            states: The optimizer's state by parameter.
        """
        parameters = [p for _, members in found for p in members]
        return (
            len(found) == len(self.groups)
            and all(
                group is known and len(members) == count
                for (group, members), (known, count) in zip(found, self.groups, strict=True)
            )
            and all(p is q for p, q in zip(parameters, self.parameters, strict=True))
            and all(p.dtype is self.compiled.dtype for p in parameters)
            # A parameter's data may be replaced by other data, elsewhere or of another size.
            and [_layout(p) for p in parameters] == self.layouts
            and all(states.get(p) is s for p, s in zip(parameters, self.states, strict=False))
            and all(
                state.get(key) is tensor
                for key, column in self.columns.items()
                for state, tensor in zip(self.states, column, strict=True)
            )
        )

    def step(self, hypers_of: Callable[[Group, Rule], Mapping[str, float]]) -> None:
        """Update every parameter by one step.

        Args:
            hypers_of: From a group to the rule's hyper-parameters, as they are now.
        """
        gradients = [gradient(p) for p in self.parameters]
        rule = self.compiled.rule
        if self.steps is not None:
            self.steps.add_(1)
            self.table[:, 0] = self.steps.numpy()
        first = 0
        for group, count in self.groups:
            hypers = hypers_of(group, rule)
            self.table[first : first + count, 1:] = [hypers[name] for name in rule.hypers]
            first += count
        kept = [column for key, column in self.columns.items() if key != "step"]
        self.compiled(addresses([self.parameters, gradients, *kept]), self.table, self.pieces)
        torch.autograd.graph.increment_version(self.parameters)


def launch(
    compiled: Kernel,
    groups: Sequence[tuple[Group, int]],
    parameters: list[Tensor],
    states: list[State],
    keys: Sequence[str],
    *,
    counted: bool,
) -> Launch:
    """Return the launch of parameters that have made their first step.

    Args:
        compiled: The rule's kernel.
        groups: Each group that takes part, with its number of parameters, in order.
        parameters: Dense CPU parameters of the kernel's dtype.
        states: Their states, each laid out as its parameter.
        keys: The state's keys, in the rule's order.
        counted: Whether states count their steps.
    """
    steps = None
    columns = {key: [state[key] for state in states] for key in keys}
    if counted:
        steps = torch.stack([state["step"] for state in states])
        columns["step"] = list(steps.unbind())
        for state, view in zip(states, columns["step"], strict=True):
            state["step"] = view
    # Where steps are not counted, every one after the first counts as the second.
    table = np.full((len(parameters), 1 + len(compiled.rule.hypers)), 2.0)
    pieces = [(i, 0, p.numel(), i) for i, p in enumerate(parameters)]
    return Launch(
        compiled,
        tuple(groups),
        parameters,
        [_layout(p) for p in parameters],
        states,
        columns,
        steps,
        table,
        plan(compiled, pieces, [0] * len(parameters)),
    )


def _layout(parameter: Tensor) -> Layout:
    return parameter.shape, parameter.stride(), parameter.device
