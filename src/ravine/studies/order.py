"""What a user asks for, and the same with every default filled in and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ravine.core.errors import SettingError
from ravine.problems import Problem
from ravine.rules import Rule
from ravine.schedules import Schedule, get_schedule
from ravine.schedules._notation import schedule_text
from ravine.studies.contestants import DEFAULT_OPTIMIZERS, Contestant, contestants
from ravine.studies.protocol import RATES, Phase, Plan, check_integer, make_plan


@dataclass(frozen=True)
class Order:
    """What to compare, and within which budget.

    Args:
        problem: Model, data, loss and score.
        optimizers: Names or rules.
        own: Rules of the user by name.
        settings: Hyper-parameters fixed for every optimizer that has them.
        rates: Learning rates to try; None for the log grid.
        trials: Rates on the grid; None for 12.
        seeds: Seeds of the last phase; None for 20, or 3 without confirm.
        epochs: Passes over the training rows; None for the problem's.
        batch: Rows per step or ``"full"``; None for the problem's.
        schedule: Of the learning rate, as `ravine.schedules.get_schedule` reads it, of those that
            have a text; None for the problem's.
        confirm: Whether to select and confirm after tuning.
        seed: Base seed.
        command: How the study was started, for the record.
        source: Python expression that makes the problem again, for the winner's program; None for
            the problem's own.
    """

    problem: Problem
    optimizers: Sequence[str | Rule] = DEFAULT_OPTIMIZERS
    own: Mapping[str, Rule] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    rates: Sequence[float] | None = None
    trials: int | None = None
    seeds: int | None = None
    epochs: int | None = None
    batch: int | str | None = None
    schedule: str | Schedule | None = None
    confirm: bool = True
    seed: int = 0
    command: str = ""
    source: str | None = None


@dataclass(frozen=True)
class Checked:
    """An order with every default filled in."""

    order: Order
    problem: Problem
    competing: list[Contestant]
    plan: Plan
    epochs: int
    batch: int
    schedule: str
    steps: int

    @property
    def last(self) -> Phase:
        """The phase that is evaluated on test."""
        return "confirm" if self.plan.confirms else "tune"

    @property
    def last_seeds(self) -> tuple[int, ...]:
        """Its seeds."""
        return self.plan.confirm if self.plan.confirms else self.plan.tune


def check(order: Order) -> Checked:
    """Fill in the defaults.

    Raises:
        SettingError: When a setting is unknown, out of bounds, or cannot be decided by the data.
    """
    problem = order.problem
    competing = contestants(order.optimizers, order.settings, order.own)
    plan = make_plan(
        rates=order.rates,
        trials=order.trials,
        seeds=order.seeds,
        confirm=order.confirm,
        seed=order.seed,
    )
    if not len(problem.split(0).validation) and (plan.confirms or len(plan.rates) > 1):
        raise SettingError(
            f"problem {problem.name} has no validation split to choose among {RATES} on; give one"
            " of them, and no confirmation (--no-confirm, confirm=False)"
        )
    epochs = problem.epochs if order.epochs is None else order.epochs
    check_integer("epochs", epochs, 1)
    batch = problem.batch_size(order.batch)
    steps = epochs * problem.steps_per_epoch(batch)
    schedule = schedule_text(problem.schedule if order.schedule is None else order.schedule)
    get_schedule(schedule)(0, steps, {"lr": 1.0})  # raises when there is none, or it does not fit
    return Checked(order, problem, competing, plan, epochs, batch, schedule, steps)
