"""What a study tells whoever watches it: how long it will take, how far it is, what to know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Estimate:
    """How long a study will take, from one measured step.

    Args:
        members: Trainings planned.
        extra: Further trainings if a best rate lies at the border of the grid.
        steps: Steps of each training.
        seconds_per_step: Of one member, measured in the block.
        shorter: Settings that could be less, by their names in Python.
    """

    members: int
    extra: int
    steps: int
    seconds_per_step: float
    shorter: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Expected duration in seconds, without the extra trainings.

        >>> Estimate(100, 0, steps=1000, seconds_per_step=2e-5, shorter=()).seconds
        2.0
        """
        return self.members * self.steps * self.seconds_per_step


@dataclass(frozen=True)
class Best:
    """The best validation score a single training of an optimizer has reached."""

    lr: float
    score: float


@dataclass(frozen=True)
class Standing:
    """How far a study is.

    Args:
        phase: ``"tune"``, ``"select"`` or ``"confirm"``.
        done: Trainings finished, over all phases.
        running: Trainings in the block now.
        waiting: Trainings of this phase that wait for a place.
        planned: Trainings of the whole study, as far as known.
        steps_per_second: Member-steps per second in this phase; 0 before the first.
        seconds_left: Expected rest, None before the first step.
        best: Best so far by optimizer.
    """

    phase: str
    done: int
    running: int
    waiting: int
    planned: int
    steps_per_second: float
    seconds_left: float | None
    best: Mapping[str, Best]


class Listener(Protocol):
    """Whoever watches a study."""

    def estimated(self, estimate: Estimate) -> None:
        """Take note of the expected duration, before the first training."""

    def progressed(self, standing: Standing) -> None:
        """Take note of progress; called after every segment of steps."""

    def noticed(self, text: str) -> None:
        """Take note of something unusual, such as a model that cannot be stacked."""


class Silent:
    """A listener that does nothing."""

    def estimated(self, estimate: Estimate) -> None:
        """Do nothing."""

    def progressed(self, standing: Standing) -> None:
        """Do nothing."""

    def noticed(self, text: str) -> None:
        """Do nothing."""
