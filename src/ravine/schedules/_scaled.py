"""The shape of a schedule, and the schedules that multiply the learning rate by a factor.

A schedule is a pure function ``(step, total, base) -> values``. Steps count from 0, as torch's
schedulers do: ``step`` is the number of steps made so far. ``base`` maps hyper-parameters to
numbers or arrays, of which the schedule returns those that it changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ravine.core.errors import SettingError
from ravine.core.numbers import integer

Values = Mapping[str, Any]
Schedule = Callable[[Any, int, Values], dict[str, Any]]
Steps = NDArray[np.float64]


@dataclass(frozen=True)
class Scaled:
    """A schedule ``lr = base lr * formula(step, total, *arguments)``.

    Args:
        name: What the command line calls it.
        formula: From steps in double precision and the number of steps to factors. It uses
            NumPy's functions, ``power`` included: Python's ``**`` rounds a single number
            differently from an array.
        arguments: Checked; in the order of the notation.
    """

    name: str
    formula: Callable[..., Any]
    arguments: tuple[Any, ...] = ()

    def __call__(self, step: Any, total: int, base: Values) -> dict[str, Any]:
        rate = base_rate(total, base)
        return {"lr": rate * self.formula(np.asarray(step, float), total, *self.arguments)}

    def __str__(self) -> str:
        return notation(self.name, self.arguments)


def base_rate(total: int, base: Values) -> Any:
    """Return the learning rate that a schedule starts from.

    Raises:
        SettingError: There is none, or no step to make.
    """
    integer("total", total, 1)
    if "lr" not in base:
        raise SettingError(f"base must hold lr, got {sorted(base)}; write {{'lr': 0.1}}")
    return base["lr"]


def notation(name: str, arguments: tuple[Any, ...]) -> str:
    """Return a schedule as the command line writes it.

    >>> notation("step", (30, 0.1)), notation("multistep", ((30, 60), 0.5))
    ('step:30:0.1', 'multistep:30,60:0.5')
    """
    return ":".join([name, *map(_text, arguments)])


def _text(argument: Any) -> str:
    if argument is None:
        return "none"
    return ",".join(map(str, argument)) if isinstance(argument, tuple) else str(argument)


def describe(schedule: Schedule) -> str:
    """Return what a figure calls a schedule: its notation, or the name of a function.

    >>> describe(Scaled("constant", np.ones_like))
    'constant'
    """
    return getattr(schedule, "__name__", None) or str(schedule)
