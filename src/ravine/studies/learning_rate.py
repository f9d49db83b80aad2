"""The learning-rate test: short trainings at all rates at once, and a rate with an interval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import pandas as pd

from ravine.core.errors import SettingError
from ravine.population import Member, Outcome, Population
from ravine.problems import Problem
from ravine.rules import Rule
from ravine.schedules import Schedule
from ravine.studies.contestants import DEFAULT_OPTIMIZERS, Contestant, contestants
from ravine.studies.learning_rate_ramp import MOST_STEPS, ramp
from ravine.studies.learning_rate_suggestion import Suggestion, suggest, suggest_from_ramp
from ravine.studies.protocol import SEEDS_PER_STUDY, check_integer

LOWEST, HIGHEST, RATES = 1e-5, 10.0, 25  # four rates per decade
SEEDS = 5
# A tenth of the training: what is far too high or too low shows by then.
SHARE = 0.1
# A study counts its seeds from the first of its pool, this test from the middle.
_FIRST_SEED = SEEDS_PER_STUDY // 2


@dataclass(frozen=True)
class RateOrder:
    """What to test.

    Args:
        problem: Model, data and loss.
        optimizers: Names or rules.
        own: Rules of the user by name.
        settings: Hyper-parameters fixed for every optimizer that has them.
        rates: Learning rates, at least 3, or None for 25 from 1e-5 to 10.
        seeds: Number of seeds, >= 2: the interval comes from their differences.
        epochs: Length of a training; None for a tenth of the problem's.
        batch: Rows per step or ``"full"``; None for the problem's.
        schedule: Of the learning rate in the short trainings.
        seed: Base seed, >= 0.
    """

    problem: Problem
    optimizers: Sequence[str | Rule] = DEFAULT_OPTIMIZERS
    own: Mapping[str, Rule] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    rates: Sequence[float] | None = None
    seeds: int = SEEDS
    epochs: int | None = None
    batch: int | str | None = None
    schedule: str | Schedule = "constant"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class RateTest:
    """Results of a test.

    Args:
        problem: Name of the problem.
        epochs: Length of a training.
        steps: The same in steps.
        loss: What was compared: ``"validation loss"`` or ``"training loss"``.
        trials: One row per training: ``optimizer, lr, seed, status, loss``.
        ramps: One row per step of a ramp: ``optimizer, seed, step, lr, loss, smooth``.
        suggestions: One per optimizer, in the order given.
    """

    problem: str
    epochs: int
    steps: int
    loss: str
    trials: pd.DataFrame
    ramps: pd.DataFrame
    suggestions: tuple[Suggestion, ...]


def run_rate_test(
    order: RateOrder,
    notice: Callable[[str], None] = lambda _: None,
    progressed: Callable[[str, int, int], None] = lambda *_: None,
) -> RateTest:
    """Train every optimizer briefly at every rate on every seed, and suggest rates.

    Args:
        order: What to test.
        notice: Called with a sentence when something runs in another way than expected.
        progressed: Called with what is under way, how many of it are done, and of how many.

    Raises:
        SettingError: A setting is wrong.
    """
    competing = contestants(order.optimizers, order.settings, order.own)
    rates, seeds = _rates(order.rates), _seeds(order)
    epochs = order.epochs if order.epochs is not None else ceil(SHARE * order.problem.epochs)
    members = _members(competing, rates, seeds)
    population = Population(
        order.problem,
        batch=order.batch,
        epochs=epochs,
        schedule=order.schedule,
        states=max(len(one.rule.state) for one in competing),
        largest=len(members),
        notice=notice,
    )
    outcomes: list[Outcome] = []
    for progress in population.run(members):
        outcomes += progress.finished
        progressed("short trainings", len(outcomes), len(members))
    validated = bool(len(order.problem.evaluation_rows(seeds[0], "validation")))
    trials = _trials(outcomes, validated=validated)
    ramps = ramp(order.problem, competing, seeds, order.batch, MOST_STEPS, progressed)
    return RateTest(
        problem=order.problem.name,
        epochs=epochs,
        steps=population.budget.steps,
        loss="validation loss" if validated else "training loss",
        trials=trials,
        ramps=ramps,
        suggestions=tuple(_suggestion(one.name, trials, ramps) for one in competing),
    )


def _rates(given: Sequence[float] | None) -> tuple[float, ...]:
    if given is None:
        return tuple(float(f"{r:.6g}") for r in np.geomspace(LOWEST, HIGHEST, RATES))
    rates = tuple(sorted({float(rate) for rate in given}))
    if len(rates) < 3 or not 0 < rates[0] <= rates[-1] < np.inf:
        raise SettingError(
            "learning rates (--lr, rates=) must be at least 3 different numbers > 0,"
            f" got {list(given)}"
        )
    return rates


def _seeds(order: RateOrder) -> list[int]:
    check_integer("seeds", order.seeds, 2)
    check_integer("seed", order.seed, 0)
    first = order.seed * SEEDS_PER_STUDY + _FIRST_SEED
    return list(range(first, first + order.seeds))


def _members(
    competing: Sequence[Contestant], rates: Sequence[float], seeds: Sequence[int]
) -> list[Member]:
    settings = [(one, rate, seed) for one in competing for rate in rates for seed in seeds]
    return [
        Member(i, one.name, one.rule, {**one.hypers, "lr": rate}, seed)
        for i, (one, rate, seed) in enumerate(settings)
    ]


def _trials(outcomes: Sequence[Outcome], *, validated: bool) -> pd.DataFrame:
    rows = [
        (
            o.member.optimizer,
            o.member.hypers["lr"],
            o.member.seed,
            o.status,
            o.val_loss if validated else o.train_loss,
        )
        for o in sorted(outcomes, key=lambda o: o.member.id)
    ]
    return pd.DataFrame(rows, columns=["optimizer", "lr", "seed", "status", "loss"])


def _suggestion(name: str, trials: pd.DataFrame, ramps: pd.DataFrame) -> Suggestion:
    own = trials[trials["optimizer"] == name]
    failed = own["loss"].where(own["status"] == "ok", np.inf)
    table = own.assign(loss=failed).pivot_table(index="lr", columns="seed", values="loss")
    mine = ramps[ramps["optimizer"] == name]
    return suggest(
        name,
        table.index.to_numpy(float),
        table.to_numpy(float),
        suggest_from_ramp([run for _, run in mine.groupby("seed")]),
    )
