"""One name for what rules call the share of the past that they keep."""

from dataclasses import dataclass
from typing import Any

from ravine.core.errors import SettingError
from ravine.schedules._scaled import Schedule, Values


@dataclass(frozen=True)
class _Named:
    schedule: Schedule
    own: str

    def __call__(self, step: Any, total: int, base: Values) -> dict[str, Any]:
        own = self.own
        found = self.schedule(step, total, {**base, "momentum": base[own]})
        if "momentum" in found and own in found:
            raise SettingError(
                f"momentum and {own} are one hyper-parameter, of which a schedule must return one,"
                " got both"
            )
        return {own if name == "momentum" else name: value for name, value in found.items()}


def named_momentum(schedule: Schedule, own: str | None) -> Schedule:
    """Return a schedule that finds a momentum under ``momentum`` and changes it under its own name.

    Schedules that know no rule, `one_cycle` among them, speak of ``momentum``; every other value
    has the formula's name.

    Args:
        schedule: The schedule.
        own: What the momentum is called in the base values, as `Rule.momentum` says; None if
            there is none.

    Raises:
        SettingError: When called, if the schedule returns a momentum under both names.

    >>> from ravine.schedules import one_cycle
    >>> named_momentum(one_cycle(), "beta")(0, 10, {"lr": 1.0, "beta": 0.9})["beta"]
    np.float64(0.95)
    """
    return schedule if own is None or own == "momentum" else _Named(schedule, own)
