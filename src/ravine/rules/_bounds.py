"""Intervals that hyper-parameters must lie in, written as in mathematics: ``[0, 1)``."""

import math
import re
from dataclasses import dataclass

from ravine.core.errors import SettingError

_NOTATION = re.compile(r"([\[(])\s*(\S+)\s*,\s*(\S+)\s*([\])])")


@dataclass(frozen=True)
class Bounds:
    """An interval of allowed values.

    >>> Bounds.parse("[0, 1)").check("beta1", 0.9)
    0.9
    >>> Bounds.parse("(0, inf)").check("lr", -0.1)
    Traceback (most recent call last):
    ravine.core.errors.SettingError: lr must be > 0, got -0.1
    """

    low: float
    high: float
    closed_low: bool
    closed_high: bool

    @classmethod
    def parse(cls, notation: str) -> "Bounds":
        """Read an interval such as ``"(0, inf)"``.

        Raises:
            SettingError: When the text is not an interval.
        """
        match = _NOTATION.fullmatch(notation.strip())
        if match is None:
            raise SettingError(f"bounds must look like '[0, 1)' or '(0, inf)', got {notation!r}")
        left, low, high, right = match.groups()
        try:
            bounds = cls(float(low), float(high), left == "[", right == "]")
        except ValueError:
            raise SettingError(f"bounds must hold two numbers, got {notation!r}") from None
        if not bounds.low < bounds.high:
            raise SettingError(f"bounds must rise from left to right, got {notation!r}")
        return bounds

    def check(self, name: str, value: float) -> float:
        """Return the value, or raise SettingError naming argument, constraint and value."""
        above = value > self.low or (self.closed_low and value == self.low)
        below = value < self.high or (self.closed_high and value == self.high)
        if not (above and below and math.isfinite(value)):
            raise SettingError(f"{name} must be {self}, got {value!r}")
        return value

    def __str__(self) -> str:
        if math.isinf(self.high):
            if math.isinf(self.low):
                return "finite"
            return f"{'>=' if self.closed_low else '>'} {self.low:g}"
        left, right = "[" if self.closed_low else "(", "]" if self.closed_high else ")"
        return f"in {left}{self.low:g}, {self.high:g}{right}"
