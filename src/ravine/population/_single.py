"""The same as a block, with one slot and plain autograd: for models that cannot be stacked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ravine.core.seeding import torch_seeded
from ravine.kernels import Kernel, Plan, addresses, kernel, plan
from ravine.population._members import Member
from ravine.population._model import Pool, batch, initial_model
from ravine.population._updates import Budget, hypers_at
from ravine.problems import Problem
from ravine.rules import ascent_rule, initial_state, reference_readout, reference_step


@dataclass(eq=False)
class Single:
    """One member at a time, under the protocol of a block.

    Args:
        problem: What the member trains on.
        budget: Of every member.
        dtype: Of weights and gradients.
        evaluation_rows: Rows that are evaluated at once.
    """

    problem: Problem
    budget: Budget
    dtype: torch.dtype
    evaluation_rows: int
    slots: int = field(default=1, init=False)
    members: list[Member | None] = field(init=False)
    steps: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.members = [None]
        self.steps = np.zeros(1, np.int64)
        self.pool = Pool(self.problem.data.x, self.problem.data.y)
        self._order = lru_cache(maxsize=1)(self.problem.order)  # one epoch's, used at every step
        self._model: nn.Module
        self._weights: list[nn.Parameter]
        self._state: list[dict[str, Tensor]]
        self._compiled: Kernel
        self._pieces: Plan
        self._scalars: NDArray[np.float64]

    def put(self, slot: int, member: Member) -> None:
        """Let a member begin."""
        self._model = initial_model(self.problem, member.seed, self.dtype)
        self._weights = [p for p in self._model.parameters() if p.requires_grad]
        for weight in self._weights:
            weight.data = weight.data.contiguous()  # the kernel reads memory in order
        self._state = [initial_state(member.rule, w.detach(), member.hypers) for w in self._weights]
        # Not an optimizer of `ravine.optim`: its kernel has threads, which no fork survives.
        self._compiled = kernel(member.rule, self.dtype)
        self._pieces = plan(self._compiled, [weight.shape for weight in self._weights])
        kept = [[float(state[n]) for n in member.rule.scalars] for state in self._state]
        scalars = np.array(kept, dtype=np.float64).reshape(len(kept), -1)
        self._scalars = scalars[self._pieces.rows[:, 1]]
        self.members[slot], self.steps[slot] = member, 0

    def take_out(self, slot: int) -> None:
        """End a member."""
        self.members[slot] = None

    def occupied(self) -> list[int]:
        """Return the slots that hold a member."""
        return [slot for slot, member in enumerate(self.members) if member is not None]

    def arrange(self) -> None:
        """Do nothing: there is one slot, and it is planned when a member begins."""

    def train(self, steps: int) -> NDArray[np.float64]:
        """Train the member for some steps and return its losses [steps, 1]."""
        member = self._member()
        self._model.train()
        losses = np.zeros((steps, 1))
        for i in range(steps):
            step = int(self.steps[0])
            losses[i] = self._step(member, step)
            self.steps[0] += 1
        return losses

    def _step(self, member: Member, step: int) -> float:
        epoch, index = divmod(step, self.budget.steps_per_epoch)
        order = self._order(member.seed, epoch, self.budget.batch)
        x, y = batch(torch.from_numpy(order[index]), self._norm(member), self.pool)
        before = [buffer.clone() for buffer in self._model.buffers()]
        loss, gradients = self._gradients(x, y, step)
        if member.rule.ascent is not None:
            with self._ascended(member, step, gradients, before):
                _, gradients = self._gradients(x, y, step)
        self._update(member, step, gradients)
        return loss

    def _gradients(self, x: Tensor, y: Tensor, step: int) -> tuple[float, list[Tensor]]:
        # Models that draw random numbers by themselves see one stream per seed and step.
        with torch_seeded(self._member().seed, "forward", step):
            loss = self.problem.loss(self._model(x), y)
        gradients = torch.autograd.grad(
            loss, self._weights, allow_unused=True, materialize_grads=True
        )
        return loss.item(), [g.contiguous() for g in gradients]

    @contextmanager
    def _ascended(
        self, member: Member, step: int, gradients: list[Tensor], before: list[Tensor]
    ) -> Iterator[None]:
        """Hold the point of the second gradient, and the buffers that the first one met.

        Through the buffers dropout is the same; in the end they hold what the first pass left.
        """
        weights = [weight.detach() for weight in self._weights]
        held = [*weights, *self._model.buffers()]
        stored = [tensor.clone() for tensor in held]
        hypers = hypers_at(member, step, self.budget)
        nothing: list[dict[str, Tensor]] = [{} for _ in weights]
        rule = ascent_rule(member.rule)
        points, _ = reference_step(rule, weights, gradients, nothing, step + 1.0, hypers)
        try:
            _put(held, [*points, *before])
            yield
        finally:
            _put(held, stored)

    def _update(self, member: Member, step: int, gradients: list[Tensor]) -> None:
        hypers = hypers_at(member, step, self.budget)
        row = [step + 1.0, *(hypers[n] for n in self._compiled.program.numbers[1:])]
        rows = np.tile(row, (len(self._pieces.rows), 1))
        columns = [[state[name] for state in self._state] for name in member.rule.state]
        tensors = addresses([self._weights, gradients, *columns])
        self._compiled(tensors, rows, self._scalars, self._pieces)
        torch.autograd.graph.increment_version(self._weights)

    @torch.no_grad()
    def evaluate(self, part: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and score on the member's rows of a part, [1] each; NaN without rows."""
        if self.members[0] is None:
            return np.full(1, np.nan), np.full(1, np.nan)
        member = self._member()
        rows = torch.from_numpy(self.problem.evaluation_rows(member.seed, part).copy())
        sums = np.zeros(2)
        self._model.eval()
        with self._readout(member), torch_seeded(member.seed, "evaluation"):
            for piece in rows.split(self.evaluation_rows) if len(rows) else ():
                x, y = batch(piece, self._norm(member), self.pool)
                outputs = self._model(x)
                both = self.problem.loss(outputs, y), self.problem.metric(outputs, y)
                sums += np.array([v.item() for v in both]) * len(piece)
        means = sums / len(rows) if len(rows) else sums * np.nan
        return means[:1], means[1:]

    @contextmanager
    def _readout(self, member: Member) -> Iterator[None]:
        """Hold the weights to evaluate in the model while the block runs."""
        if member.rule.readout is None or self.steps[0] == 0:
            yield
            return
        stored = [weight.detach().clone() for weight in self._weights]
        step = int(self.steps[0])
        hypers = hypers_at(member, step, self.budget)
        first = [int(np.flatnonzero(self._pieces.rows[:, 1] == i)[0]) for i in range(len(stored))]
        try:
            for weight, state, row in zip(self._weights, self._state, first, strict=True):
                scalars = dict(zip(member.rule.scalars, self._scalars[row].tolist(), strict=True))
                known = {**state, **scalars}
                weight.copy_(reference_readout(member.rule, weight, known, step, hypers))
            yield
        finally:
            for weight, before in zip(self._weights, stored, strict=True):
                weight.copy_(before)

    def _member(self) -> Member:
        member = self.members[0]
        assert member is not None
        return member

    def _norm(self, member: Member) -> tuple[Tensor, Tensor]:
        split = self.problem.split(member.seed)
        return split.shift.to(self.dtype), split.scale.to(self.dtype)


def _put(tensors: list[Tensor], values: list[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
