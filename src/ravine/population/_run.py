"""Running members through a block: filling slots, evaluating, and recording what happens."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf, isfinite
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ravine.population._block import Block
from ravine.population._members import CurvePoint, Member, Outcome
from ravine.population._single import Single
from ravine.population._updates import Budget


class Event(NamedTuple):
    """What one block did between two evaluations."""

    started: int
    finished: list[Outcome]
    member_steps: int
    seconds: float


@dataclass(eq=False)
class Runner:
    """Keeps the slots of a block filled until there are no more members.

    Args:
        block: Where the members train.
        source: Members that wait, shared with other runners.
        test: Whether to evaluate the test rows of a member that ends.
        stop_hopeless: Whether to end a member whose validation loss and score, at half of its
            steps or later, are no better than at its start.
    """

    block: Block | Single
    source: Iterator[Member]
    test: bool
    stop_hopeless: bool
    _outcomes: dict[int, Outcome] = field(default_factory=dict)
    _losses: dict[int, list[NDArray[np.float64]]] = field(default_factory=dict)

    @property
    def _budget(self) -> Budget:
        return self.block.budget

    def events(self) -> Iterator[Event]:
        """Train until the source is empty, one event per evaluation."""
        try:
            yield from self._events()
        finally:
            # A run that is abandoned in this process leaves an empty block to the next.
            for slot in self.block.occupied():
                self.block.take_out(slot)

    def _events(self) -> Iterator[Event]:
        started = self._fill()
        while occupied := self.block.occupied():
            begin = perf_counter()
            steps = min(self._until_next(slot) for slot in occupied)
            losses = self.block.train(steps)
            seconds = perf_counter() - begin
            for slot in occupied:
                self._losses[slot].append(losses[:, slot])
                self._outcomes[slot].seconds += seconds / len(occupied)
                self._outcomes[slot].steps += steps
            finished = self._record([s for s in occupied if self._is_due(s)])
            refilled = self._fill()
            yield Event(started, finished, steps * len(occupied), perf_counter() - begin)
            started = refilled

    def _fill(self) -> int:
        """Put waiting members into empty slots and evaluate them at their start."""
        empty = set(range(self.block.slots)) - set(self.block.occupied())
        new = [(slot, m) for slot, m in zip(sorted(empty), self.source, strict=False)]
        for slot, member in new:
            self.block.put(slot, member)
            self._outcomes[slot], self._losses[slot] = Outcome(member), []
        if new or empty:
            self.block.arrange()
        if new:
            loss, score = self.block.evaluate("validation")
            for slot, _ in new:
                point = CurvePoint(0, 0.0, float("nan"), float(loss[slot]), float(score[slot]))
                self._outcomes[slot].curve.append(point)
        return len(new)

    def _until_next(self, slot: int) -> int:
        done, budget = int(self.block.steps[slot]), self._budget
        return min(budget.every - done % budget.every, budget.steps - done)

    def _is_due(self, slot: int) -> bool:
        done = int(self.block.steps[slot])
        return done % self._budget.every == 0 or done == self._budget.steps

    def _record(self, due: list[int]) -> list[Outcome]:
        """Evaluate members whose time has come and end those that are done."""
        if not due:
            return []
        loss, score = self.block.evaluate("validation")
        for slot in due:
            self._note(slot, float(loss[slot]), float(score[slot]))
        ended = [slot for slot in due if self._has_ended(slot)]
        if self.test:
            self._evaluate_test([s for s in ended if self._outcomes[s].status == "ok"])
        for slot in ended:
            self.block.take_out(slot)
        return [self._outcomes.pop(slot) for slot in ended]

    def _evaluate_test(self, slots: list[int]) -> None:
        if not slots:
            return
        loss, score = self.block.evaluate("test")
        for slot in slots:
            outcome = self._outcomes[slot]
            outcome.test_loss, outcome.test_score = float(loss[slot]), float(score[slot])
            if not isfinite(outcome.test_loss):  # the last update was the one too many
                outcome.status, outcome.diverged_at = "diverged", outcome.steps

    def _note(self, slot: int, val_loss: float, val_score: float) -> None:
        outcome, losses = self._outcomes[slot], np.concatenate(self._losses[slot])
        self._losses[slot] = []
        done = outcome.steps
        bad = np.flatnonzero(~np.isfinite(losses))
        has_validation = not np.isnan(outcome.curve[0].val_loss)
        if bad.size:
            outcome.status, outcome.diverged_at = "diverged", done - len(losses) + int(bad[0]) + 1
        elif done == self._budget.steps and has_validation and not isfinite(val_loss):
            outcome.status, outcome.diverged_at = "diverged", done
        outcome.train_loss = float(losses.mean())
        outcome.val_loss, outcome.val_score = val_loss, val_score
        epoch = done / self._budget.steps_per_epoch
        outcome.curve.append(CurvePoint(done, epoch, outcome.train_loss, val_loss, val_score))

    def _has_ended(self, slot: int) -> bool:
        outcome = self._outcomes[slot]
        if outcome.status == "diverged" or outcome.steps == self._budget.steps:
            return True
        if self.stop_hopeless and self._is_hopeless(outcome):
            outcome.status = "stopped"
            return True
        return False

    def _is_hopeless(self, outcome: Outcome) -> bool:
        """Whether half of the steps have made neither loss nor score better than at the start."""
        start = outcome.curve[0]
        sign = 1 if self.block.problem.direction == "max" else -1
        return (
            2 * outcome.steps >= self._budget.steps
            and start.val_loss < outcome.val_loss < inf  # an infinite one shows as divergence
            and sign * outcome.val_score <= sign * start.val_score
        )
