"""The comparison protocol: tune, select, confirm, each on seeds of its own.

Every optimizer gets the same trials on the same seeds. Tuning and selecting look at validation
only; the test set is evaluated for the settings chosen, on fresh seeds.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

import numpy as np

from ravine.core.errors import SettingError
from ravine.population import Member, Outcome
from ravine.studies.contestants import Contestant
from ravine.studies.sensitivity import border_optimizers, extra_rates
from ravine.studies.statistics import Direction, sign_of

Phase = Literal["tune", "select", "confirm"]

RATES = "learning rates (--lr, rates=)"  # by their names on the command line and in Python
LOWEST_RATE, HIGHEST_RATE = 1e-4, 10.0
TUNE_SEEDS, SELECT_SEEDS, CONFIRM_SEEDS = 3, 5, 20
SELECTED = 3  # settings that pass from tuning to selection
EXTRA_TRIALS = 4  # settings added for every optimizer when one is best at the border
# Studies of neighbouring base seeds share no seed while they use fewer than this.
SEEDS_PER_STUDY = 10_000


@dataclass(frozen=True)
class Plan:
    """What a study will run: the rates tried and the seeds of each phase."""

    rates: tuple[float, ...]
    extends: bool
    tune: tuple[int, ...]
    select: tuple[int, ...]
    confirm: tuple[int, ...]

    @property
    def confirms(self) -> bool:
        """Whether the study goes on after tuning."""
        return bool(self.confirm)

    def members(self, optimizers: int) -> int:
        """Return the number of trainings for so many optimizers, without an extension."""
        tune = len(self.rates) * len(self.tune)
        return optimizers * (tune + self._selected() + len(self.confirm))

    def extra(self, optimizers: int) -> int:
        """Return the number of trainings that an extension adds."""
        return optimizers * EXTRA_TRIALS * len(self.tune) if self.extends else 0

    def largest(self, optimizers: int) -> int:
        """Return the most trainings that run side by side."""
        phases = (len(self.rates) * len(self.tune), self._selected(), len(self.confirm))
        return max(optimizers * max(phases), self.extra(optimizers))

    def _selected(self) -> int:
        return min(SELECTED, len(self.rates)) * len(self.select)


@dataclass(frozen=True)
class Extension:
    """The extra trials every optimizer got, and why."""

    trials: int
    reason: str
    rates: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Chosen:
    """The setting an optimizer was left with, and its mean validation score by phase."""

    contestant: Contestant
    lr: float
    tune_score: float
    select_score: float  # NaN when nothing was selected


Train = Callable[[Phase, Sequence[Member]], list[Outcome]]


def make_plan(
    *,
    rates: Sequence[float] | None = None,
    trials: int | None = None,
    seeds: int | None = None,
    confirm: bool = True,
    seed: int = 0,
) -> Plan:
    """Lay out rates and seeds.

    Args:
        rates: Learning rates to try, in any order; None for a log grid.
        trials: Number of rates on the grid from 1e-4 to 10, >= 2; 12 unless told.
        seeds: Seeds of the last phase: confirm (20 unless told), or tune (3 unless told) when
            there is no confirm.
        confirm: Whether to select and confirm after tuning.
        seed: Base seed, >= 0; another one gives a study on fresh seeds.

    Raises:
        SettingError: When a value is out of bounds, or `rates` and `trials` are both given.

    >>> make_plan(trials=6).rates
    (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
    """
    if rates is not None and trials is not None:
        raise SettingError(
            f"trials is the number of learning rates to try; leave it out where {RATES} are given"
        )
    check_integer("seed", seed, 0)
    if seeds is not None:
        check_integer("seeds", seeds, 1)
    tuned = TUNE_SEEDS if confirm or seeds is None else seeds
    confirmed = (CONFIRM_SEEDS if seeds is None else seeds) if confirm else 0
    numbers = itertools.count(seed * SEEDS_PER_STUDY)
    pools = (tuned, SELECT_SEEDS if confirm else 0, confirmed)
    tune, select, last = (tuple(next(numbers) for _ in range(size)) for size in pools)
    grid = rate_grid(12 if trials is None else trials) if rates is None else _checked(rates)
    return Plan(grid, rates is None, tune, select, last)


def rate_grid(trials: int) -> tuple[float, ...]:
    """Return learning rates from 1e-4 to 10, evenly spaced on a log scale.

    >>> rate_grid(2)
    (0.0001, 10.0)
    """
    check_integer("trials", trials, 2)
    powers = np.linspace(math.log10(LOWEST_RATE), math.log10(HIGHEST_RATE), trials)
    return _readable(10**powers)


def _readable(rates: Iterable[float]) -> tuple[float, ...]:
    # Six digits are exact to repeat by hand, and far finer than the grid.
    return tuple(float(f"{rate:.6g}") for rate in rates)


def check_integer(name: str, value: object, least: int) -> None:
    """Check a whole number that was asked for.

    Raises:
        SettingError: When it is none, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise SettingError(f"{name} must be an integer >= {least}, got {value!r}")


def _checked(rates: object) -> tuple[float, ...]:
    if isinstance(rates, str) or not isinstance(rates, Iterable):
        raise SettingError(f"{RATES} must be a list of numbers > 0, got {rates!r}")
    given = list(rates)
    if not given:
        raise SettingError(f"{RATES} must hold at least one, got none")
    for rate in given:
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 < float(rate) < math.inf:
            raise SettingError(f"{RATES} must be numbers > 0, got {rate!r}")
    return tuple(sorted({float(rate) for rate in given}))


def run_protocol(
    plan: Plan, contestants: Sequence[Contestant], direction: Direction, train: Train
) -> tuple[list[Chosen], Extension | None]:
    """Run the phases and return what was chosen for each optimizer.

    Args:
        plan: Rates and seeds.
        contestants: Who competes.
        direction: Whether a high or a low score is good.
        train: Trains the members of a phase and returns their outcomes.
    """
    trials = _Trials(contestants, direction, train)
    trials.run("tune", {one.name: plan.rates for one in contestants}, plan.tune)
    extension = _extension(trials, plan.rates) if plan.extends else None
    if extension:
        trials.run("tune", extension.rates, plan.tune)
    if not plan.confirms:
        return [trials.chosen(one, "tune") for one in contestants], extension
    best = {one.name: trials.ranked(one.name, "tune")[:SELECTED] for one in contestants}
    trials.run("select", best, plan.select)
    chosen = [trials.chosen(one, "select") for one in contestants]
    trials.run("confirm", {one.contestant.name: [one.lr] for one in chosen}, plan.confirm)
    return chosen, extension


def _extension(trials: "_Trials", grid: Sequence[float]) -> Extension | None:
    """Return the extra trials of every optimizer if one is best at the border of the grid."""
    best = {name: trials.ranked(name, "tune")[0] for name in trials.contestants}
    sides = border_optimizers(best, grid)
    if not sides:
        return None
    rates = {
        name: _readable(extra_rates(rate, grid, sides.get(name), EXTRA_TRIALS))
        for name, rate in best.items()
    }
    ends = ", ".join(f"{name} ({side})" for name, side in sides.items())
    return Extension(EXTRA_TRIALS, f"best learning rate at an end of the grid: {ends}", rates)


class _Trials:
    """The outcomes so far, by phase, optimizer and learning rate."""

    def __init__(
        self, contestants: Sequence[Contestant], direction: Direction, train: Train
    ) -> None:
        self.contestants = {one.name: one for one in contestants}
        self.direction: Direction = direction
        self.train = train
        self.outcomes: dict[tuple[str, str], dict[float, list[Outcome]]] = {}
        self.ids = 0

    def run(self, phase: Phase, rates: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> None:
        """Train every optimizer at its rates on all seeds of a phase."""
        members = [
            self.member(self.contestants[name], rate, seed)
            for name, tried in rates.items()
            for rate in tried
            for seed in seeds
        ]
        for outcome in self.train(phase, members):
            done = self.outcomes.setdefault((phase, outcome.member.optimizer), {})
            done.setdefault(outcome.member.hypers["lr"], []).append(outcome)

    def member(self, contestant: Contestant, lr: float, seed: int) -> Member:
        self.ids += 1
        hypers = {**contestant.hypers, "lr": lr}
        return Member(self.ids - 1, contestant.name, contestant.rule, hypers, seed)

    def ranked(self, name: str, phase: Phase) -> list[float]:
        """Return the rates of an optimizer, best first."""
        return rank_rates(self.outcomes[phase, name], self.direction)

    def chosen(self, contestant: Contestant, phase: Phase) -> Chosen:
        lr = self.ranked(contestant.name, phase)[0]
        tuned = self.outcomes["tune", contestant.name][lr]
        selected = self.outcomes.get(("select", contestant.name), {}).get(lr, [])
        return Chosen(contestant, lr, mean_score(tuned), mean_score(selected))


def rank_rates(outcomes: Mapping[float, list[Outcome]], direction: Direction) -> list[float]:
    """Order learning rates by their outcomes, best first.

    Fewer failed seeds come first, then the better mean validation score, then the lower mean
    validation loss, then the lower rate.
    """
    sign = -sign_of(direction)

    def key(rate: float) -> tuple[int, float, float, float]:
        seeds = outcomes[rate]
        failures = sum(has_failed(outcome) for outcome in seeds)
        loss = _mean(outcome.val_loss for outcome in seeds)
        return failures, _last_if_nan(sign * mean_score(seeds)), _last_if_nan(loss), rate

    return sorted(outcomes, key=key)


def _last_if_nan(value: float) -> float:
    # NaN breaks an order; there is one where no seed finished, or nothing is validated.
    return math.inf if math.isnan(value) else value


def has_failed(outcome: Outcome) -> bool:
    """Return whether a training diverged or was stopped."""
    return outcome.status != "ok"


def mean_score(outcomes: Iterable[Outcome]) -> float:
    """Return the mean validation score of the seeds that did not fail; NaN when none is left."""
    return _mean(outcome.val_score for outcome in outcomes if not has_failed(outcome))


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
