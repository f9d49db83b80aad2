"""The block: stacked members that train as one program, each in its slot.

Shapes never change: a slot that is empty computes on whatever it holds, and nothing reads it.
Members differ in weights, rule, schedule, data order and step; no operation mixes slots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ravine.population._compile import as_compiled
from ravine.population._members import Member
from ravine.population._model import Functions, Pool, Tensors, initial_model, stacked, tensors_of
from ravine.population._updates import Budget, RuleRun, hypers_at, rule_run
from ravine.problems import Problem
from ravine.rules import Rule, initial_state, reference_readout

# Row indices of this many batches' worth are laid out at once, to bound the memory they take.
_MOST_INDICES = 4_000_000
# A block holds members of a few seeds at a time; never more starts are kept than it has slots.
_SEEDS_KEPT = 32


@dataclass(eq=False)
class Block:
    """Slots for members of one problem.

    Args:
        functions: The model as pure functions.
        gradient: Stacked `Functions.gradient`, perhaps compiled.
        evaluation: Stacked `Functions.evaluate`, perhaps compiled for `evaluation_rows` rows.
        budget: Of every member.
        slots: Number of members that train at once.
        dtype: Of weights and gradients.
        states: Most states that any rule keeps per weight.
        evaluation_rows: Rows per member that are evaluated at once.
    """

    functions: Functions
    gradient: Callable[..., Any]
    evaluation: Callable[..., Any]
    budget: Budget
    slots: int
    dtype: torch.dtype
    states: int
    evaluation_rows: int
    members: list[Member | None] = field(init=False)
    steps: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        # Members of different optimizers share seeds, and with them starts and batch orders.
        self._start = lru_cache(maxsize=min(_SEEDS_KEPT, self.slots))(self._start_of)
        self._order = lru_cache(maxsize=_SEEDS_KEPT)(self._order_of)
        self.members = [None] * self.slots
        self.steps = np.zeros(self.slots, np.int64)
        self.weights, self.buffers, self.norm = map(self._stack, self._start(0))
        self.state = [tuple(torch.zeros_like(w) for w in self.weights) for _ in range(self.states)]
        self._scalars: dict[int, NDArray[np.float64]] = {}  # [tensors, scalars] by slot
        self.pool = Pool(self.problem.data.x, self.problem.data.y)
        self._evaluate_rest = stacked(self.functions.evaluate)
        self._runs: list[RuleRun] = []

    @property
    def problem(self) -> Problem:
        """The problem that the members train on."""
        return self.functions.problem

    def _stack(self, tensors: Tensors) -> Tensors:
        return tuple(t.repeat(self.slots, *[1] * t.ndim) for t in tensors)

    def put(self, slot: int, member: Member) -> None:
        """Let a member begin in a slot."""
        stacked_tensors = (self.weights, self.buffers, self.norm)
        for group, values in zip(stacked_tensors, self._start(member.seed), strict=True):
            for stack, tensor in zip(group, values, strict=True):
                stack[slot].copy_(tensor)
        starts = [initial_state(member.rule, w[slot], member.hypers) for w in self.weights]
        for state, stacks in zip(member.rule.state, self.state, strict=False):
            for stack, start in zip(stacks, starts, strict=True):
                stack[slot].copy_(start[state])
        kept = [[float(start[n]) for n in member.rule.scalars] for start in starts]
        self._scalars[slot] = np.array(kept, dtype=np.float64)
        self.members[slot], self.steps[slot] = member, 0

    def _start_of(self, seed: int) -> tuple[Tensors, Tensors, Tensors]:
        """Return weights, buffers and normalisation that members of a seed begin with."""
        model = initial_model(self.problem, seed, self.dtype)
        split = self.problem.split(seed)
        return (
            tensors_of(model, self.functions.names),
            tensors_of(model, self.functions.buffer_names),
            (split.shift.to(self.dtype), split.scale.to(self.dtype)),
        )

    def _order_of(self, seed: int, epoch: int) -> NDArray[np.int64]:
        return self.problem.order(seed, epoch, self.budget.batch)

    def take_out(self, slot: int) -> None:
        """Empty a slot."""
        self.members[slot] = None

    def occupied(self) -> list[int]:
        """Return the slots that hold a member."""
        return [slot for slot, member in enumerate(self.members) if member is not None]

    def arrange(self) -> None:
        """Plan the kernels after members came or went."""
        by_rule: dict[Rule, list[int]] = {}
        for slot in self.occupied():
            by_rule.setdefault(self._member(slot).rule, []).append(slot)
        shapes = [w.shape[1:] for w in self.weights]
        self._runs = [
            rule_run(rule, slots, shapes, self._scalars, self.dtype)
            for rule, slots in by_rule.items()
        ]

    def train(self, steps: int) -> NDArray[np.float64]:
        """Train every member for some steps and return their losses [steps, slots]."""
        at_once = max(1, _MOST_INDICES // (self.slots * self.budget.batch))
        parts = [self._train(min(at_once, steps - done)) for done in range(0, steps, at_once)]
        return np.concatenate(parts).astype(np.float64)

    def _train(self, steps: int) -> NDArray[Any]:
        rows = torch.from_numpy(self._rows(steps))
        tables = [
            run.table([self._member(s) for s in run.slots], self.steps, steps, self.budget)
            for run in self._runs
        ]
        losses = torch.empty(steps, self.slots, dtype=self.dtype)
        arrays = self._addresses()
        ascends = any(run.ascent for run in self._runs)
        with torch.no_grad(), as_compiled():
            for step in range(steps):
                buffers = self.buffers
                gradients, losses[step], self.buffers = self._gradient(
                    self.weights, buffers, rows[step]
                )
                arrays[:, 1] = [g.data_ptr() for g in gradients]
                now = [table[step] for table in tables]
                again = arrays.copy() if ascends else arrays
                if ascends:
                    # The same batch and, through the buffers, the same dropout as the first time.
                    points = self._ascended(arrays, now)
                    second, _, _ = self._gradient(points, buffers, rows[step])
                    again[:, 1] = [g.data_ptr() for g in second]
                for run, table in zip(self._runs, now, strict=True):
                    run.update(again if run.ascent else arrays, table)
        self.steps[self.occupied()] += steps
        for run in self._runs:
            run.keep_scalars(self._scalars)
        return losses.numpy()

    def evaluate(self, part: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and score of every member on its rows of a part, [slots] each.

        NaN where the problem has no such rows, and in empty slots.
        """
        rows = {
            s: self.problem.evaluation_rows(self._member(s).seed, part) for s in self.occupied()
        }
        count = len(next(iter(rows.values()), ()))
        sums = np.zeros((2, self.slots))
        table = np.zeros((self.slots, count), np.int64)
        for slot, chosen in rows.items():
            table[slot] = chosen
        weights = self._readout()
        for start in range(0, count, self.evaluation_rows):
            piece = torch.from_numpy(table[:, start : start + self.evaluation_rows].copy())
            whole = piece.shape[1] == self.evaluation_rows
            evaluate = self.evaluation if whole else self._evaluate_rest
            with torch.no_grad(), as_compiled():
                both = evaluate(weights, self.buffers, piece, self.norm, self.pool.x, self.pool.y)
            sums += torch.stack(both).double().numpy() * piece.shape[1]
        means = sums / count if count else np.full_like(sums, np.nan)
        empty = [slot for slot, member in enumerate(self.members) if member is None]
        means[:, empty] = np.nan
        return means[0], means[1]

    def _readout(self) -> Tensors:
        """Return the weights to evaluate."""
        begun = [s for s in self.occupied() if self.steps[s]]
        slots = [s for s in begun if self._member(s).rule.readout is not None]
        if not slots:
            return self.weights
        weights = tuple(w.clone() for w in self.weights)
        for slot in slots:
            member, t = self._member(slot), int(self.steps[slot])
            numbers = hypers_at(member, t, self.budget)
            for i, weight in enumerate(weights):
                state: dict[str, Any] = {
                    n: self.state[k][i][slot] for k, n in enumerate(member.rule.state)
                }
                state |= zip(member.rule.scalars, self._scalars[slot][i].tolist(), strict=True)
                weight[slot] = reference_readout(member.rule, weight[slot], state, t, numbers)
        return weights

    def _member(self, slot: int) -> Member:
        member = self.members[slot]
        assert member is not None
        return member

    def _rows(self, steps: int) -> NDArray[np.int64]:
        """Return the rows of the next batches of every slot, [steps, slots, B]."""
        table = np.zeros((steps, self.slots, self.budget.batch), np.int64)
        for slot in self.occupied():
            seed, first = self._member(slot).seed, int(self.steps[slot])
            done = 0
            while done < steps:
                epoch, start = divmod(first + done, self.budget.steps_per_epoch)
                piece = self._order(seed, epoch)[start : start + steps - done]
                table[done : done + len(piece), slot] = piece
                done += len(piece)
        return table

    def _gradient(self, weights: Tensors, buffers: Tensors, rows: torch.Tensor) -> Any:
        return self.gradient(weights, buffers, rows, self.norm, self.pool.x, self.pool.y)

    def _ascended(self, arrays: NDArray[np.int64], tables: Sequence[NDArray[Any]]) -> Tensors:
        """Return the weights, those of rules that take a second gradient moved to its point."""
        points = tuple(w.clone() for w in self.weights)
        moved = arrays[:, :2].copy()
        moved[:, 0] = [point.data_ptr() for point in points]
        for run, table in zip(self._runs, tables, strict=True):
            run.ascend(moved, table)
        return points

    def _addresses(self) -> NDArray[np.int64]:
        columns: list[Tensors] = [self.weights, self.weights, *self.state]
        return np.array([[t.data_ptr() for t in c] for c in columns], np.int64).T.copy()


def example(block: Block, rows: int) -> tuple[Any, ...]:
    """Return arguments of the shapes that a block's functions are called with."""
    chosen = torch.zeros(block.slots, rows, dtype=torch.int64)
    return block.weights, block.buffers, chosen, block.norm, block.pool.x, block.pool.y
