"""Checks of what schedules are given. A length counts steps, or is a share of all steps."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from ravine.core.errors import SettingError

Length = int | float


def length(name: str, value: Any) -> Length:
    """Return a length: an integer >= 1 counts steps, a fraction in (0, 1) is a share of them all.

    Raises:
        SettingError: It is neither.
    """
    if not isinstance(value, bool):
        if isinstance(value, Integral) and int(value) >= 1:
            return int(value)
        if isinstance(value, Real) and 0 < float(value) < 1:
            return float(value)
    raise SettingError(
        f"{name} must be a number of steps, an integer >= 1, or a share of all steps, > 0 and < 1,"
        f" got {value!r}; write for example 30 or 0.3"
    )


def lengths(name: str, values: Any) -> tuple[Length, ...]:
    """Return several lengths.

    Raises:
        SettingError: There is none, or one of them is no length.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
        raise SettingError(f"{name} must be a list of steps, got {values!r}; write [30, 60]")
    return tuple(length(name, value) for value in values)


def steps_of(given: Length, total: int) -> int:
    """Return a length in steps: a share is rounded, to no less than one step.

    >>> steps_of(30, 1000), steps_of(0.3, 1000), steps_of(0.01, 10)
    (30, 300, 1)
    """
    return given if isinstance(given, int) else max(1, round(given * total))


def number(name: str, value: Any) -> float:
    """Return a finite number.

    Raises:
        SettingError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise SettingError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def positive(name: str, value: Any, most: float = math.inf) -> float:
    """Return a number > 0 that is no larger than `most`.

    Raises:
        SettingError: It is outside.
    """
    if not 0 < number(name, value) <= most:
        limit = "" if math.isinf(most) else f" and <= {most:g}"
        raise SettingError(f"{name} must be > 0{limit}, got {value!r}")
    return float(value)


def share(name: str, value: Any) -> float:
    """Return a share of the base value, in [0, 1].

    Raises:
        SettingError: It is outside.
    """
    if not 0 <= number(name, value) <= 1:
        raise SettingError(f"{name} must be a share of the base value in [0, 1], got {value!r}")
    return float(value)


def one_of(name: str, value: Any, known: Sequence[Any]) -> Any:
    """Return a value that is one of those known.

    Raises:
        SettingError: It is not.
    """
    if value not in known:
        raise SettingError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")
    return value
