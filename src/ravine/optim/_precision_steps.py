"""The groups of an optimizer whose weights or states are in few bits, and their launches."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ravine.kernels._coded import coded_kernel, coded_plan
from ravine.kernels._coded_layout import Coding
from ravine.optim._groups import Group, hypers_of
from ravine.optim._launch import Launch, numbers_of_groups
from ravine.optim._live import Live, readable
from ravine.optim._memory import gradient, kernel_can, wide
from ravine.optim._precision import coding_for, is_coded
from ravine.optim._precision_launch import CodedLaunch, Member, layout
from ravine.optim._precision_state import COUNTER, counter, is_begun, keys_of, read, settle
from ravine.optim._states import State, state_key, step_tensor
from ravine.rules import Rule, initial_state

States = MutableMapping[Tensor, State]


class _Kind(NamedTuple):
    """What parameters must have in common to be updated together."""

    rule: Rule
    coding: Coding
    dtype: torch.dtype
    by_kernel: bool


class _Sorted(NamedTuple):
    """The groups of a rule: as given, those in few bits and how they are, and the others."""

    given: list[Group]
    coded: list[Group]
    settings: list[tuple[Any, Any]]
    others: list[Group]

    @classmethod
    def of(cls, rule: Rule, groups: list[Group]) -> "_Sorted":
        is_so = [is_coded(rule, group) for group in groups]
        coded = [group for group, so in zip(groups, is_so, strict=True) if so]
        others = [group for group, so in zip(groups, is_so, strict=True) if not so]
        settings = [(g.get("state_dtype"), g.get("param_rounding")) for g in coded]
        return cls(groups, coded, settings, others)


class _Repeated(NamedTuple):
    """A launch over all coded groups of a rule, to be made again."""

    groups: _Sorted
    launch: Launch


@dataclass(frozen=True)
class CodedSteps:
    """The prepared launches of one optimizer's coded groups.

    Args:
        counted: Whether states count their steps.
    """

    counted: bool
    _launches: dict[_Kind, CodedLaunch] = field(default_factory=dict)
    _repeated: dict[Rule, _Repeated] = field(default_factory=dict)

    def step(
        self, rule: Rule, groups: list[Group], every: Sequence[Group], states: States
    ) -> list[Group]:
        """Update the coded groups of a rule and return the others.

        Args:
            rule: The rule of these groups.
            groups: Groups of the rule.
            every: All groups of the optimizer: a parameter's place there decides its random bits.
            states: The optimizer's state by parameter.
        """
        last = self._repeated.pop(rule, None)
        if last is not None and groups is last.groups.given:
            found = last.groups
        else:
            found = _Sorted.of(rule, groups)
        if last is not None and found.settings == last.groups.settings:
            # Before the update sweeps this out of the processor's caches.
            self._repeated[rule] = _Repeated(found, last.launch)
            if last.launch.step(found.coded, states):
                return found.others
            del self._repeated[rule]
        found = _Sorted.of(rule, groups)  # parameters may have changed in the same groups
        launch = self._step_anew(rule, found.coded, every, states)
        if launch is not None:
            self._repeated[rule] = _Repeated(found, launch)
        return found.others

    @torch.no_grad()
    def _step_anew(
        self, rule: Rule, groups: list[Group], every: Sequence[Group], states: States
    ) -> Launch | None:
        """Update wherever everything lies; return a launch where one kernel call can repeat it."""
        parts: dict[_Kind, list[Member]] = {}
        for member in _with_gradient(groups):
            parts.setdefault(_kind(rule, *member), []).append(member)
        for kind in [k for k in self._launches if k.rule is rule and k not in parts]:
            del self._launches[kind]
        for kind, members in parts.items():
            launch = self._launches.get(kind)
            if launch is None or not launch.fits(members, states):
                launch = self._launches[kind] = self._prepared(kind, members, every, states)
            launch.step()
        every_one = [p for group in groups for p in group["params"]]
        if len(parts) != 1 or not readable(every_one):
            return None
        [kind] = parts
        return _repeating(self._launches[kind], groups, states) if kind.by_kernel else None

    def _prepared(
        self, kind: _Kind, members: list[Member], every: Sequence[Group], states: States
    ) -> CodedLaunch:
        for parameter, _ in members:  # all gradients are looked at before any state changes
            gradient(parameter)
        kept = [states[parameter] for parameter, _ in members]
        table = np.ones((len(members), 1 + len(kind.rule.hypers)))
        # Where steps are not counted, every one after the first counts as the second.
        table[:, 0] = [2 if is_begun(kind.rule, state) else 1 for state in kept]
        for member, state in zip(members, kept, strict=True):
            self._begin(kind.rule, kind.coding, member, state)
        counters, scalars = _counters(members, kept, every), _scalars(kind.rule, kept)
        steps = torch.stack([state["step"] for state in kept]) if self.counted else None
        shared = _share(kind, kept, counters, scalars, steps)
        compiled = coded_kernel(kind.rule, kind.coding) if kind.by_kernel else None
        return CodedLaunch(
            kind.rule,
            kind.coding,
            compiled,
            members,
            [layout(p) for p, _ in members],
            kept,
            {k: [s[k] for s in kept] for k in (*keys_of(kind.rule, kind.coding), *shared)},
            scalars,
            steps,
            counters,
            table,
            coded_plan(compiled, [p.numel() for p, _ in members]) if compiled else None,
        )

    def _begin(self, rule: Rule, coding: Coding, member: Member, state: State) -> None:
        parameter, group = member
        if self.counted:
            state["step"] = step_tensor(state.get("step", 0))
        start = initial_state(rule, wide(parameter.detach()), hypers_of(group, rule))
        settle(rule, coding, state, start, parameter)


def _repeating(launch: CodedLaunch, groups: Sequence[Group], states: States) -> Launch:
    """Return a launch over the tables and views of one that has just been made."""
    from ravine.optim._counting import Counter  # noqa: PLC0415  (imports Numba)

    parameters, lists = [p for p, _ in launch.members], [group["params"] for group in groups]
    keys = keys_of(launch.rule, launch.coding)
    others = [key for key in launch.columns if key not in keys]
    tensors = Live(lists, parameters, states, keys, others)
    every_row, steps = np.arange(len(parameters)), launch.steps
    counter = None if steps is None else Counter(steps, every_row, None, launch.table)
    group_of = numbers_of_groups(lists, parameters)
    update = launch.update_at(tensors.addresses)
    return Launch(launch.rule, groups, states, launch.table, group_of, tensors, counter, update)


def _with_gradient(groups: Sequence[Group]) -> Iterator[Member]:
    yield from ((p, g) for g in groups for p in g["params"] if p.grad is not None)


def _kind(rule: Rule, parameter: Tensor, group: Group) -> _Kind:
    by_kernel = kernel_can(parameter, dtypes=(torch.float32, torch.bfloat16))
    return _Kind(rule, coding_for(rule, group, parameter), parameter.dtype, by_kernel)


def _counters(
    members: Sequence[Member], states: Sequence[Mapping[str, Any]], every: Sequence[Group]
) -> Tensor:
    everything = (p for group in every for p in group["params"])
    places = {id(p): place for place, p in enumerate(everything)}
    return torch.tensor(
        [
            counter(state, group.get("rounding_seed", 0), places[id(parameter)])
            for (parameter, group), state in zip(members, states, strict=True)
        ],
        dtype=torch.int64,
    )


def _share(
    kind: _Kind, states: Sequence[State], counters: Tensor, scalars: Tensor, steps: Tensor | None
) -> list[str]:
    """Give each state views of what is kept in one tensor for all; return their keys."""
    names = [state_key(kind.rule, name) for name in kind.rule.scalars]
    views = {name: scalars[:, i].unbind() for i, name in enumerate(names)}
    if kind.coding.slots:
        views[COUNTER] = counters.view(torch.uint8).view(-1, 8).unbind()
    if steps is not None:
        views["step"] = steps.unbind()
    for name, column in views.items():
        for state, view in zip(states, column, strict=True):
            state[name] = view
    return list(views)


def _scalars(rule: Rule, states: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the rule's scalars [parameters, scalars] in double precision."""
    rows = [[float(read(rule, name, state)) for name in rule.scalars] for state in states]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(states), len(rule.scalars))
