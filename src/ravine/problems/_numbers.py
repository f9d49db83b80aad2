"""Checks of settings that are numbers."""

from numbers import Integral, Real
from typing import Any

from ravine.core.errors import SettingError


def integer(name: str, value: Any, least: int, way_out: str = "") -> int:
    """Return an integer setting that is at least `least`.

    Raises:
        SettingError: it is no integer, or smaller.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise SettingError(f"{name} must be an integer >= {least}, got {value!r}{way_out}")
    return int(value)


def fraction(name: str, value: Any) -> float:
    """Return a setting in [0, 1).

    Raises:
        SettingError: it is no number, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise SettingError(f"{name} must be a fraction >= 0 and < 1, got {value!r}")
    return float(value)
