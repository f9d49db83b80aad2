"""A launch: the tensors of one rule, found and checked once, updated by one kernel call a step.

Finding states, layouts and plans anew at every step would cost half a millisecond for fifty
tensors, a tenth of the step itself. A launch keeps them and only checks that they still hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import is_
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import Kernel, Plan, plan
from ravine.optim._groups import Group, places_of
from ravine.optim._live import Live
from ravine.optim._long_way import Leaf
from ravine.optim._memory import gradient
from ravine.optim._states import State, state_key


class Launch:
    """What one kernel call updates: parameters that have made their first step.

    Args:
        compiled: The rule's kernel.
        groups: The rule's groups.
        leaves: Their parameters with gradients, group by group, with their states.
        states: The optimizer's states.
        counted: Whether states count their steps.
    """

    def __init__(
        self,
        compiled: Kernel,
        groups: Sequence[Group],
        leaves: Sequence[Leaf],
        states: Mapping[Tensor, State],
        *,
        counted: bool,
    ) -> None:
        rule = compiled.rule
        self._compiled = compiled
        self._groups = list(groups)
        self._lists = [group["params"] for group in groups]
        self._states = states
        kept = [leaf.state for leaf in leaves]
        keys = [state_key(rule, name) for name in rule.state]
        scalar_keys = [state_key(rule, name) for name in rule.scalars]
        self._steps = _counted(kept) if counted else None
        self._scalars = _gathered(kept, scalar_keys, list(rule.scalars.values()))
        others = [*scalar_keys, *(["step"] if counted else [])]
        parameters = [leaf.parameter for leaf in leaves]
        self._live = Live(self._lists, parameters, states, keys, others)
        self._lay_out_rows(groups, leaves)

    def _lay_out_rows(self, groups: Sequence[Group], leaves: Sequence[Leaf]) -> None:
        rule, program = self._compiled.rule, self._compiled.program
        group_of = {id(p): i for i, group in enumerate(groups) for p in group["params"]}
        number = np.array([group_of[id(leaf.parameter)] for leaf in leaves], np.int64)
        pieces = plan(self._compiled, [leaf.parameter.shape for leaf in leaves])
        # Row of each tensor, where several share one.
        self._shared: NDArray[np.int64] | None = None
        if not program.sums and not program.scalars:
            alike = list(zip(number.tolist(), [leaf.t for leaf in leaves], strict=True))
            pieces, self._shared = _sharing_rows(pieces, alike)
        self._pieces = pieces
        self._tensor = pieces.rows[:, 1].copy()
        self._group = number[self._tensor]
        # Where steps are not counted, every one after the first counts as the second.
        self._table = np.full((len(self._tensor), 1 + len(rule.hypers)), 2.0)
        self._places = [places_of(group, rule) for group in groups]

    def step(self, groups: Sequence[Group], states: Mapping[Tensor, State]) -> bool:
        """Update every parameter by one step, if the launch still fits.

        Args:
            groups: The rule's groups now.
            states: The optimizer's states now.

        Returns:
            Whether it did; nothing has changed otherwise.
        """
        if not self._same(groups, states):
            return False
        odd = self._live.read()
        if odd is None or not self._count():
            return False
        copies = self._copy(odd)
        self._table[:, 1:] = self._settings(groups)[self._group]
        scalars = self._scalars[self._tensor]
        self._compiled(self._live.addresses, self._table, scalars, self._pieces)
        self._scalars[self._tensor] = scalars
        torch.autograd.graph.increment_version(self._live.parameters)
        del copies
        return True

    def _same(self, groups: Sequence[Group], states: Mapping[Tensor, State]) -> bool:
        return (
            states is self._states
            and len(groups) == len(self._groups)
            and all(map(is_, groups, self._groups))
            and all(map(is_, [group["params"] for group in groups], self._lists))
        )

    def _count(self) -> bool:
        """Count the step; return False, with nothing counted, where rows no longer fit."""
        if self._steps is None:
            return True
        first = self._steps[self._tensor]
        if self._shared is not None and not (first[self._shared] == self._steps).all():
            return False
        self._steps += 1
        self._table[:, 0] = first + 1
        return True

    def _copy(self, odd: NDArray[np.int64]) -> list[Tensor]:
        """Bring gradients that lie otherwise than their parameters into their layout."""
        copies = []
        for row in np.flatnonzero(odd):
            copies.append(gradient(self._live.parameters[row]))
            self._live.addresses[row, 1] = copies[-1].data_ptr()
        return copies

    def _settings(self, groups: Sequence[Group]) -> NDArray[np.float64]:
        """Return the groups' hyper-parameters [groups, hyper-parameters] as they are now."""
        return np.array(
            [
                [float(group[key] if i is None else group[key][i]) for key, i in places]
                for group, places in zip(groups, self._places, strict=True)
            ]
        ).reshape(len(groups), -1)


def _counted(states: Sequence[State]) -> NDArray[Any]:
    """Return the steps of all states as one array, of which each state gets a view."""
    steps = torch.stack([state["step"] for state in states])
    for state, view in zip(states, steps.unbind(), strict=True):
        state["step"] = view
    return steps.numpy()


def _gathered(
    states: Sequence[State], keys: Sequence[str], over: Sequence[str]
) -> NDArray[np.float64]:
    """Return scalars [parameters, scalars], of which each state gets views.

    All states get the same view of a member's scalar, the first parameter's.
    """
    kept = [[float(state[key]) for key in keys] for state in states]
    scalars = torch.tensor(kept, dtype=torch.float64).reshape(len(states), len(keys))
    for i, (key, shared_by) in enumerate(zip(keys, over, strict=True)):
        views = scalars[:, i].unbind()
        for state, view in zip(states, views, strict=True):
            state[key] = views[0] if shared_by == "member" else view
    return scalars.numpy()


def _sharing_rows(pieces: Plan, alike: Sequence[Any]) -> tuple[Plan, NDArray[np.int64]]:
    """Return a plan in which tensors that are alike share a row of numbers, and whose rows.

    The numbers of a row are powers and roots in double precision, which take as long as the
    update of a hundred weights.
    """
    first: dict[Any, int] = {}
    for tensor, key in enumerate(alike):
        first.setdefault(key, tensor)
    taken = list(first.values())
    new = {key: row for row, key in enumerate(first)}
    row_of = np.array([new[key] for key in alike], np.int64)
    chunks = pieces.chunks.copy()
    chunks[:, 3] = row_of[chunks[:, 0]]
    shared = replace(
        pieces,
        chunks=chunks,
        rows=pieces.rows[taken],
        owners=pieces.owners[: len(taken)],
        constants=pieces.constants[taken],
        sums=pieces.sums[taken],
    )
    return shared, row_of
