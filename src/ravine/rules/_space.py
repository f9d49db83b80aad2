"""Ranges in which hyper-parameters are searched, written as ``log[1e-4, 1]``."""

import math
import re
from dataclasses import dataclass

from ravine.core.errors import SettingError

SCALES = ("linear", "log", "complement")
_NOTATION = re.compile(r"(\w+)\s*\[\s*(\S+)\s*,\s*(\S+)\s*\]")


@dataclass(frozen=True)
class Range:
    """A closed range and the scale on which it is searched evenly.

    Args:
        scale: ``"linear"``; ``"log"``, for rates; or ``"complement"``: ``1 - x`` on a log scale,
            for shares close to 1 such as Adam's betas.
        low: Lower end.
        high: Upper end.

    >>> Range.parse("complement[0.9, 0.999]").at(0.5)
    0.99
    """

    scale: str
    low: float
    high: float

    @classmethod
    def parse(cls, notation: str) -> "Range":
        """Read a range such as ``"log[1e-4, 1]"``.

        Raises:
            SettingError: When the text is no range, or its scale has no place for its ends.
        """
        match = _NOTATION.fullmatch(notation.strip())
        if match is None or match[1] not in SCALES:
            raise SettingError(
                f"a range must look like 'log[1e-4, 1]', with {', '.join(SCALES)}; got {notation!r}"
            )
        try:
            found = cls(match[1], float(match[2]), float(match[3]))
        except ValueError:
            raise SettingError(f"a range must hold two numbers, got {notation!r}") from None
        if not found.low < found.high:
            raise SettingError(f"a range must rise from left to right, got {notation!r}")
        if (found.scale == "log" and found.low <= 0) or (
            found.scale == "complement" and found.high >= 1
        ):
            raise SettingError(f"a range must lie where its scale is defined, got {notation!r}")
        return found

    def at(self, share: float) -> float:
        """Return the value at a share of the range, from 0 at its low end to 1 at its high."""
        if self.scale == "linear":
            return self.low + share * (self.high - self.low)
        if self.scale == "log":
            return _between(self.low, self.high, share)
        return round(1 - _between(1 - self.low, 1 - self.high, share), 15)

    def __str__(self) -> str:
        scale = {"linear": "", "log": ", log scale", "complement": ", 1 - x on a log scale"}
        return f"{self.low:g} to {self.high:g}{scale[self.scale]}"


def _between(low: float, high: float, share: float) -> float:
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
