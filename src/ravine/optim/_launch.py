"""A launch: the tensors of one rule, found and checked once, updated by one kernel call a step.

Finding states, layouts and plans anew at every step would cost half a millisecond for fifty
tensors, a tenth of the step itself. A launch keeps them and only checks that they still hold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import Kernel, Plan, plan
from ravine.optim._groups import Group, number, numbers_of
from ravine.optim._live import Live
from ravine.optim._long_way import Leaf
from ravine.optim._states import State, state_key
from ravine.rules import Rule

if TYPE_CHECKING:
    from ravine.optim._counting import Counter

# Rates of groups, and all hyper-parameters of each, where they may have changed.
Settings = tuple[list[float], list[list[float]] | None]


class Launch:
    """What one kernel call updates: parameters that have made their first step.

    Args:
        rule: The rule.
        groups: The rule's groups.
        states: The optimizer's states.
        table: The kernel's rows of ``t`` and hyper-parameters. Where steps are not counted, ``t``
            is 2: every step after the first counts as the second.
        group_of: Number of the group of each row.
        tensors: The tensors whose addresses the update takes.
        counter: Counts steps in the table and in states; None where none are counted.
        update: The kernel's step over these tables.
    """

    def __init__(
        self,
        rule: Rule,
        groups: Sequence[Group],
        states: Mapping[Tensor, State],
        table: NDArray[np.float64],
        group_of: NDArray[np.int64],
        tensors: Live,
        counter: "Counter | None",
        update: Callable[[], None],
    ) -> None:
        self._rule, self._groups, self._states = rule, groups, states
        self._lists = [group["params"] for group in groups]
        self._table, self._group = table, group_of
        self._live, self._counter, self._update = tensors, counter, update
        self._rate = list(rule.hypers).index("lr") if "lr" in rule.hypers else None
        self._rates: list[float] = []
        self._begun = False

    def step(self, groups: Sequence[Group], states: Mapping[Tensor, State]) -> bool:
        """Update every parameter by one step, if the launch still fits.

        Args:
            groups: The rule's groups now; the same list as before where no setting but ``lr`` has
                changed.
            states: The optimizer's states now.

        Returns:
            Whether it did; nothing has changed otherwise.
        """
        if not self._same(groups, states):
            return False
        settings = self._settings(groups)  # before anything changes: one may be refused
        copies = self._live.read()
        if copies is None or not (self._counter is None or self._counter.count()):
            return False
        self._take(groups, settings)
        # Before the update sweeps the counters out of the processor's caches.
        torch.autograd.graph.increment_version(self._live.parameters)
        self._update()
        del copies
        return True

    def _same(self, groups: Sequence[Group], states: Mapping[Tensor, State]) -> bool:
        return (
            states is self._states
            and (groups is self._groups or self._same_groups(groups))
            and all(map(is_, [group["params"] for group in groups], self._lists))
        )

    def _same_groups(self, groups: Sequence[Group]) -> bool:
        return len(groups) == len(self._groups) and all(map(is_, groups, self._groups))

    def _settings(self, groups: Sequence[Group]) -> Settings:
        """Return the groups' rates, and all their hyper-parameters where others may have changed.

        Raises:
            SettingError: When one is no number.
        """
        rates = [_rate(group) for group in groups] if self._rate is not None else []
        if groups is self._groups and self._begun:
            return rates, None
        return rates, [numbers_of(group, self._rule) for group in groups]

    def _take(self, groups: Sequence[Group], settings: Settings) -> None:
        """Write settings into the table, where they are new: it takes longer than comparing."""
        rates, values = settings
        if values is not None:
            self._groups, self._begun = groups, True
            self._table[:, 1:] = np.array(values).reshape(len(values), -1)[self._group]
        elif rates != self._rates and self._rate is not None:
            self._table[:, 1 + self._rate] = np.array(rates)[self._group]
        self._rates = rates


def launch(
    compiled: Kernel,
    groups: Sequence[Group],
    leaves: Sequence[Leaf],
    states: Mapping[Tensor, State],
    *,
    counted: bool,
) -> Launch:
    """Prepare the launch of parameters and states as they are.

    Args:
        compiled: The rule's kernel.
        groups: The rule's groups.
        leaves: Their parameters with gradients, group by group, with their states.
        states: The optimizer's states.
        counted: Whether states count their steps.
    """
    from ravine.optim._counting import Counter  # noqa: PLC0415  (imports Numba)

    rule, kept = compiled.rule, [leaf.state for leaf in leaves]
    parameters, lists = [leaf.parameter for leaf in leaves], [group["params"] for group in groups]
    number = numbers_of_groups(lists, parameters)
    pieces, row_of = _rows(compiled, leaves, number)
    tensor_of = pieces.rows[:, 1].copy()
    table = np.full((len(tensor_of), 1 + len(rule.hypers)), 2.0)
    counter = Counter(_shared_steps(kept), tensor_of, row_of, table) if counted else None
    scalar_keys = [state_key(rule, name) for name in rule.scalars]
    scalars = _gathered(kept, scalar_keys, list(rule.scalars.values()))
    keys = [state_key(rule, name) for name in rule.state]
    others = [*scalar_keys, *(["step"] if counted else [])]
    tensors = Live(lists, parameters, states, keys, others)
    of_rows = scalars[tensor_of]
    update = compiled.over(tensors.addresses, table, of_rows, pieces)

    def update_with_scalars() -> None:
        np.take(scalars, tensor_of, axis=0, out=of_rows)
        update()
        scalars[tensor_of] = of_rows

    every_step = update_with_scalars if scalars.size else update
    return Launch(rule, groups, states, table, number[tensor_of], tensors, counter, every_step)


def numbers_of_groups(
    lists: Sequence[Sequence[Tensor]], parameters: Sequence[Tensor]
) -> NDArray[np.int64]:
    """Return the number of the group, by its list, that each parameter is in."""
    group_of = {id(p): number for number, params in enumerate(lists) for p in params}
    return np.array([group_of[id(p)] for p in parameters], np.int64)


def _rows(
    compiled: Kernel, leaves: Sequence[Leaf], group_of: NDArray[np.int64]
) -> tuple[Plan, NDArray[np.int64] | None]:
    """Return the kernel's plan, and the row of each tensor where several share one."""
    program = compiled.program
    pieces = plan(compiled, [leaf.parameter.shape for leaf in leaves])
    if program.sums or program.scalars:
        return pieces, None
    return _sharing_rows(
        pieces, list(zip(group_of.tolist(), [leaf.t for leaf in leaves], strict=True))
    )


def _shared_steps(states: Sequence[State]) -> Tensor:
    """Return the steps of parameters in one tensor, of which each state gets a view."""
    steps = torch.stack([state["step"] for state in states])
    for state, view in zip(states, steps.unbind(), strict=True):
        state["step"] = view
    return steps


def _rate(group: Group) -> float:
    rate = group["lr"]
    return rate if type(rate) is float else number("lr", rate)


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
