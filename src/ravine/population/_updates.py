"""Updates of stacked members: the slots that share a rule, their hyper-parameters and kernel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ravine.core.errors import unknown
from ravine.kernels import Kernel, Plan, kernel, plan
from ravine.population._members import Member
from ravine.rules import Rule, ascent_rule
from ravine.schedules import Schedule, constant, named_momentum


@dataclass(frozen=True)
class Budget:
    """How long and on what every member trains.

    Args:
        batch: Rows per step.
        steps_per_epoch: Whole batches in an epoch.
        steps: Steps in all.
        every: Steps between evaluations.
        schedule: Learning rate by step.
    """

    batch: int
    steps_per_epoch: int
    steps: int
    every: int
    schedule: Schedule


@dataclass(frozen=True, eq=False)
class RuleRun:
    """The slots whose members share a rule.

    Args:
        compiled: The rule's kernel.
        slots: Where its members train.
        pieces: The kernel's plan over them.
        scalars: The rule's scalars [rows, scalars].
        ascent: Kernel and plan of the way to the second gradient, where the rule takes one.
    """

    compiled: Kernel
    slots: tuple[int, ...]
    pieces: Plan
    scalars: NDArray[np.float64]
    ascent: tuple[Kernel, Plan] | None

    def table(
        self, members: Sequence[Member], done: NDArray[np.int64], steps: int, budget: Budget
    ) -> NDArray[np.float64]:
        """Return ``t`` and the hyper-parameters per step and slot, [steps, slots, numbers].

        Args:
            members: The slots' members.
            done: Steps made, by slot of the block.
            steps: Steps to come.
            budget: Of every member.
        """
        made = done[list(self.slots)] + np.arange(steps)[:, None]
        names = self.compiled.program.numbers[1:]
        base = {n: np.array([m.hypers[n] for m in members]) for n in names}
        values = base | _schedule(self.compiled.rule, budget)(made, budget.steps, base)
        columns = [made + 1.0, *(np.broadcast_to(values[n], made.shape) for n in names)]
        return np.stack(columns, axis=-1)

    def update(self, arrays: NDArray[np.int64], table: NDArray[np.float64]) -> None:
        """Make one step: addresses of the stacks, and the numbers per slot."""
        self.compiled(arrays, table[self.pieces.rows[:, 0]], self.scalars, self.pieces)

    def ascend(self, arrays: NDArray[np.int64], table: NDArray[np.float64]) -> None:
        """Move weights to where the second gradient is taken, if the rule takes one."""
        if self.ascent is not None:
            compiled, pieces = self.ascent
            rows = table[pieces.rows[:, 0]]
            compiled(arrays, rows, np.zeros((len(rows), 0)), pieces)

    def keep_scalars(self, kept: Mapping[int, NDArray[np.float64]]) -> None:
        """Write the scalars to where they outlive this arrangement: [tensors, scalars] by slot."""
        shared = self.compiled.program.finest == "member"
        for (position, tensor), values in zip(self.pieces.rows, self.scalars, strict=True):
            kept[self.slots[position]][slice(None) if shared else tensor] = values


def rule_run(
    rule: Rule,
    slots: Sequence[int],
    shapes: Sequence[torch.Size],
    scalars: Mapping[int, NDArray[np.float64]],
    dtype: torch.dtype,
) -> RuleRun:
    """Return the run of a rule over slots.

    Args:
        rule: The rule.
        slots: Where its members train.
        shapes: Shape of each weight tensor of one member.
        scalars: The members' scalars [tensors, scalars] by slot.
        dtype: Of weights and gradients.
    """
    compiled = kernel(rule, dtype)
    pieces = plan(compiled, shapes, slots, per_tensor=False)
    values = [scalars[slots[position]][tensor] for position, tensor in pieces.rows]
    ascent = None
    if rule.ascent is not None:
        way = kernel(ascent_rule(rule), dtype)
        ascent = way, plan(way, shapes, slots, per_tensor=False)
    table = np.array(values).reshape(len(values), len(rule.scalars))
    return RuleRun(compiled, tuple(slots), pieces, table, ascent)


def hypers_at(member: Member, done: int, budget: Budget) -> dict[str, float]:
    """Return a member's hyper-parameters after some steps."""
    changed = _schedule(member.rule, budget)(done, budget.steps, member.hypers)
    return {name: float(value) for name, value in {**member.hypers, **changed}.items()}


def _schedule(rule: Rule, budget: Budget) -> Schedule:
    """Return the budget's schedule for a rule; it may change only what the rule has."""
    schedule = named_momentum(budget.schedule if rule.scheduled else constant, rule.momentum)

    def checked(step: Any, total: int, base: Mapping[str, Any]) -> dict[str, Any]:
        changed = schedule(step, total, base)
        for name in changed:
            if name not in rule.hypers:
                raise unknown(f"setting of {rule.name} in what the schedule returns", name, base)
        return changed

    return checked
