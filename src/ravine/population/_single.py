"""The same as a block, with one slot and plain autograd: for models that cannot be stacked."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ravine.core.seeding import torch_seeded
from ravine.optim import RuleOptimizer, from_rule
from ravine.population._block import Budget
from ravine.population._members import Member
from ravine.population._model import Pool, batch, initial_model
from ravine.problems import Problem


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
        self._optimizer: RuleOptimizer

    def put(self, slot: int, member: Member) -> None:
        """Let a member begin."""
        self._model = initial_model(self.problem, member.seed, self.dtype)
        trained = [p for p in self._model.parameters() if p.requires_grad]
        self._optimizer = from_rule(member.rule)(trained, **member.hypers)
        self.members[slot], self.steps[slot] = member, 0

    def take_out(self, slot: int) -> None:
        """End a member."""
        self.members[slot] = None

    def occupied(self) -> list[int]:
        """Return the slots that hold a member."""
        return [slot for slot, member in enumerate(self.members) if member is not None]

    def arrange(self) -> None:
        """Do nothing: there is one slot, and its optimizer plans by itself."""

    def train(self, steps: int) -> NDArray[np.float64]:
        """Train the member for some steps and return its losses [steps, 1]."""
        member = self._member()
        self._model.train()
        losses = np.zeros((steps, 1))
        for i in range(steps):
            step = int(self.steps[0])
            # Models that draw random numbers by themselves see one stream per seed and step.
            with torch_seeded(member.seed, "forward", step):
                losses[i] = self._step(member, step)
            self.steps[0] += 1
        return losses

    def _step(self, member: Member, step: int) -> float:
        epoch, index = divmod(step, self.budget.steps_per_epoch)
        order = self._order(member.seed, epoch, self.budget.batch)
        changed = self.budget.schedule(step, self.budget.steps, member.hypers)
        self._optimizer.param_groups[0].update({n: float(v) for n, v in changed.items()})
        x, y = batch(torch.from_numpy(order[index]), self._norm(member), self.pool)
        self._optimizer.zero_grad()
        loss = self.problem.loss(self._model(x), y)
        loss.backward()
        self._optimizer.step()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, part: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return loss and score on the member's rows of a part, [1] each; NaN without rows."""
        if self.members[0] is None:
            return np.full(1, np.nan), np.full(1, np.nan)
        member = self._member()
        rows = torch.from_numpy(self.problem.evaluation_rows(member.seed, part).copy())
        sums = np.zeros(2)
        self._model.eval()
        with self._optimizer.readout(), torch_seeded(member.seed, "evaluation"):
            for piece in rows.split(self.evaluation_rows) if len(rows) else ():
                x, y = batch(piece, self._norm(member), self.pool)
                outputs = self._model(x)
                both = self.problem.loss(outputs, y), self.problem.metric(outputs, y)
                sums += np.array([v.item() for v in both]) * len(piece)
        means = sums / len(rows) if len(rows) else sums * np.nan
        return means[:1], means[1:]

    def _member(self) -> Member:
        member = self.members[0]
        assert member is not None
        return member

    def _norm(self, member: Member) -> tuple[Tensor, Tensor]:
        split = self.problem.split(member.seed)
        return split.shift.to(self.dtype), split.scale.to(self.dtype)
