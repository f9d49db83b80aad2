"""What goes into a population and what comes out: members and their outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from numbers import Integral
from typing import Any, NamedTuple

from ravine.core.errors import SettingError
from ravine.rules import Rule


@dataclass(frozen=True, eq=False)
class Member:
    """One training: a rule at one setting with one seed.

    Args:
        id: Number that results are stored under.
        optimizer: Name that results are reported under.
        rule: The rule, modifiers included.
        hypers: Hyper-parameters of the rule by name or alias, those left out at their defaults;
            kept by the formula's names. ``lr`` is the schedule's base.
        seed: Fixes split, initial weights, batch order and dropout; >= 0.

    Raises:
        SettingError: When a hyper-parameter is unknown or out of bounds, or the seed is no
            integer >= 0.
    """

    id: int
    optimizer: str
    rule: Rule
    hypers: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "hypers", self.rule.check(self.hypers))
        seed: Any = self.seed
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise SettingError(f"seed must be an integer >= 0, got {seed!r}")


class CurvePoint(NamedTuple):
    """A member at one evaluation: training loss is the mean since the one before."""

    step: int
    epoch: float
    train_loss: float
    val_loss: float
    val_score: float


@dataclass
class Outcome:
    """What became of a member.

    Args:
        member: The member.
        status: ``"ok"``, ``"diverged"`` or ``"stopped"`` (as hopeless).
        diverged_at: First step whose loss was not finite, from 1; the last step, where only the
            evaluation after it was not.
        steps: Steps made.
        seconds: The member's share of the time its block ran.
        train_loss: Mean over the steps since the evaluation before the last.
        val_loss: On the validation rows at the end; NaN where there are none.
        val_score: Likewise.
        test_loss: On the test rows at the end; NaN unless asked for and ``"ok"``.
        test_score: Likewise.
        curve: The evaluations on the way, the start included.
    """

    member: Member
    status: str = "ok"
    diverged_at: int | None = None
    steps: int = 0
    seconds: float = 0.0
    train_loss: float = nan
    val_loss: float = nan
    val_score: float = nan
    test_loss: float = nan
    test_score: float = nan
    curve: list[CurvePoint] = field(default_factory=list)


class Progress(NamedTuple):
    """What happened between two evaluations.

    Attributes:
        finished: Members that came to an end.
        running: Members that hold a slot.
        waiting: Members that have not begun.
        member_steps: Steps made, summed over members.
        seconds: Time it took.
    """

    finished: list[Outcome]
    running: int
    waiting: int
    member_steps: int
    seconds: float
