"""The study as it grows: every finished training is kept, and written before it can be lost."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from ravine.population import Member, Outcome, Population, Progress
from ravine.studies.listening import Best, Listener, Standing
from ravine.studies.protocol import Phase, has_failed
from ravine.studies.statistics import Direction, sign_of
from ravine.studies.storage import write_study, write_tables

SECONDS_BETWEEN_SAVES = 10.0


class Ledger:
    """Trains the members of a study, records their outcomes, saves them and reports progress.

    Args:
        folder: Where the study is stored.
        study: The content of ``study.json`` known so far; `close` completes it.
        population: Trains the members.
        direction: Whether a high or a low score is good.
        last: The phase whose members are evaluated on test.
        planned: Number of trainings expected.
        steps: Steps of each training.
        listener: Told about progress.
    """

    def __init__(
        self,
        folder: Path,
        study: dict[str, Any],
        population: Population,
        *,
        direction: Direction,
        last: Phase,
        planned: int,
        steps: int,
        listener: Listener,
    ) -> None:
        self.folder = folder
        self.study = study
        self.trials: list[dict[str, Any]] = []
        self.curves: list[tuple[Any, ...]] = []
        self._population = population
        self._sign = sign_of(direction)
        self._last = last
        self._planned = planned
        self._steps = steps
        self._listener = listener
        self._best: dict[str, Best] = {}
        self._speed = _Speed()
        self._partial = 0  # steps made by trainings that have not finished
        self._started = monotonic()
        self._saved = -math.inf

    def train(self, phase: Phase, members: Sequence[Member]) -> list[Outcome]:
        """Train the members of a phase and return their outcomes in the order of the members."""
        self._planned = max(self._planned, len(self.trials) + len(members))
        left = {member.id: member for member in members}
        outcomes: dict[int, Outcome] = {}
        self._speed.start()
        last = phase == self._last
        # A hopeless setting need not be trained to its end, unless its end is what is reported.
        run = self._population.run(members, test=last, stop_hopeless=phase == "tune" and not last)
        try:
            for progress in run:
                for outcome in progress.finished:
                    del left[outcome.member.id]
                    outcomes[outcome.member.id] = outcome
                    self._record(phase, outcome)
                self._report(phase, progress)
        except KeyboardInterrupt:
            self.trials += [_stopped_row(phase, member) for member in left.values()]
            raise
        self.save()
        return [outcomes[member.id] for member in members]

    def save(self) -> None:
        """Write everything known so far."""
        self.study["seconds"] = round(monotonic() - self._started, 2)
        self.folder.mkdir(parents=True, exist_ok=True)
        # The tables first: a page that says "complete" never stands beside partial tables.
        write_tables(self.folder, self.trials, self.curves)
        write_study(self.folder, self.study)
        self._saved = monotonic()

    def close(self, status: str, results: Mapping[str, Any]) -> None:
        """Write the study for the last time, with its status and results."""
        self.study.update(results, status=status)
        self.save()

    def _record(self, phase: Phase, outcome: Outcome) -> None:
        self.trials.append(_row(phase, outcome))
        self._partial -= outcome.steps
        self.curves += [(outcome.member.id, *point) for point in outcome.curve]
        name, score = outcome.member.optimizer, outcome.val_score
        best = self._best.get(name)
        if has_failed(outcome) or math.isnan(score):
            return
        if best is None or self._sign * score > self._sign * best.score:
            self._best[name] = Best(outcome.member.hypers["lr"], score)

    def _report(self, phase: Phase, progress: Progress) -> None:
        self._speed.add(progress.member_steps)
        self._partial += progress.member_steps
        done = len(self.trials)
        left = self._steps * (self._planned - done) - self._partial
        speed = self._speed.value
        standing = Standing(
            phase=phase,
            done=done,
            running=progress.running,
            waiting=progress.waiting,
            planned=self._planned,
            steps_per_second=speed,
            seconds_left=max(left, 0) / speed if speed else None,
            best=dict(self._best),
        )
        self._listener.progressed(standing)
        if monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self.save()


class _Speed:
    """Member-steps per second of all workers over the latest reports.

    By this process's clock: workers report the seconds of their own blocks, which run side by side.
    """

    def __init__(self) -> None:
        self._steps = self._seconds = 0.0
        self._then = 0.0

    def start(self) -> None:
        """Begin a phase; the time since the last one was not spent on steps."""
        self._then = monotonic()

    def add(self, steps: int) -> None:
        now = monotonic()
        keep = 0.9  # about the latest ten reports; a slow first one is soon forgotten
        self._steps = keep * self._steps + steps
        self._seconds = keep * self._seconds + now - self._then
        self._then = now

    @property
    def value(self) -> float:
        return self._steps / self._seconds if self._seconds else 0.0


def _row(phase: Phase, outcome: Outcome) -> dict[str, Any]:
    results = (
        *("status", "diverged_at", "steps", "seconds"),
        *("val_loss", "val_score", "test_loss", "test_score"),
    )
    return _member_row(phase, outcome.member) | {name: getattr(outcome, name) for name in results}


def _stopped_row(phase: Phase, member: Member) -> dict[str, Any]:
    # How far it got died with the block; every number stays missing.
    return _member_row(phase, member) | {"status": "stopped"}


def _member_row(phase: Phase, member: Member) -> dict[str, Any]:
    names = {"member": member.id, "optimizer": member.optimizer, "phase": phase}
    return {**names, "seed": member.seed, **member.hypers}
