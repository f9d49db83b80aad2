"""Tables as the page shows them: text for the eye, the exact value beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ABSENT = "–"


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    Args:
        text: What is shown.
        value: The number behind it as stored, kept in the page for whoever reads it by program.
        colour: Of the dot before an optimizer's name.
        tone: ``good``, ``bad``, ``even`` or ``open`` for a verdict.
    """

    text: str
    value: float | int | None = None
    colour: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Args:
        caption: Says what it shows.
        head: Names of the columns; the first heads the rows.
        rows: As many cells per row as there are columns.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def known(value: Any) -> bool:
    """Return whether a stored number is there: neither null nor NaN.

    >>> known(0.0), known(None), known(float("nan"))
    (True, False, False)
    """
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def number(value: Any, digits: int = 4) -> Cell:
    """Return a number with so many significant digits.

    >>> number(0.000215443).text, number(1e-10).text, number(None).text
    ('0.0002154', '1e-10', '–')
    """
    return Cell(_short(value, digits), value) if known(value) else Cell(ABSENT)


def count(value: Any) -> Cell:
    r"""Return a count, or a mean or median of counts, thousands set apart.

    >>> count(12500.0).text, count(67.5).text
    ('12\u202f500', '67.5')
    """
    if not known(value):
        return Cell(ABSENT)
    return Cell(f"{value:,.1f}".removesuffix(".0").replace(",", "\u202f"), value)


def seconds(value: Any) -> Cell:
    """Return a duration in the unit that reads best.

    >>> [seconds(x).text for x in (3.1e-05, 0.0123, 41.2, 754)]
    ['31 µs', '12.3 ms', '41.2 s', '12 min 34 s']
    """
    return Cell(_duration(value), value) if known(value) else Cell(ABSENT)


def _duration(value: float) -> str:
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if value < 1000 * size:
            return f"{value / size:.3g} {unit}"
    if value < 120:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}".replace("e-0", "e-").replace("e+", "e")
    return text.replace("e0", "e")
