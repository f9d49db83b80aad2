"""Checks of numbers that settings of any kind share."""

import math
from numbers import Integral
from typing import Any

from ravine.core.errors import SettingError


def integer(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """Return an integer that lies between two others.

    Args:
        name: Of the setting.
        value: As it was given.
        least: The smallest that will do.
        most: The largest that will do.

    Raises:
        SettingError: It is no integer, or lies outside.

    >>> integer("steps", 3, 1)
    3
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= int(value) <= most:
        limit = f">= {least}" if math.isinf(most) else f"in [{least}, {most:g}]"
        raise SettingError(f"{name} must be an integer {limit}, got {value!r}")
    return int(value)
