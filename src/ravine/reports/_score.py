"""How a score is written and drawn: its unit, its direction and its axis."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

# Values that span more than this are drawn on a log scale.
_WIDE = 30.0
_VERY_WIDE = 1000.0


@dataclass(frozen=True)
class Score:
    """The number a study is decided by.

    Args:
        name: Such as ``accuracy``, which is written in percent.
        direction: ``"max"`` when high is good, ``"min"`` when low is.
    """

    name: str
    direction: Literal["max", "min"]

    @property
    def percent(self) -> bool:
        """Whether values are shares, written in percent."""
        return "accuracy" in self.name.lower()

    @property
    def better(self) -> str:
        """The direction in words."""
        return "higher is better" if self.direction == "max" else "lower is better"

    @property
    def hover(self) -> str:
        """Plotly's number format for a single value."""
        return ".2%" if self.percent else ".6~g"

    def text(self, value: float | None) -> str:
        """Write a value.

        >>> Score("accuracy", "max").text(0.97345)
        '97.34 %'
        >>> Score("loss", "min").text(87.3969)
        '87.397'
        """
        return _written(value, self.percent, "%")

    def difference(self, value: float | None) -> str:
        """Write a difference of two values, with its sign.

        >>> Score("accuracy", "max").difference(-0.004)
        '−0.40 points'
        """
        written = _written(value, self.percent, "points")
        return written if written == "–" or written.startswith("−") else f"+{written}"

    def interval(self, low: float | None, high: float | None) -> str:
        """Write an interval of differences.

        >>> Score("accuracy", "max").interval(-0.001, 0.004)
        '−0.10 to +0.40'
        """
        ends = [self.difference(end).removesuffix(" points") for end in (low, high)]
        return "–" if "–" in ends else " to ".join(ends)

    def title(self, part: str, *, turned: bool = True) -> str:
        """Return an axis title: ``"test"`` gives ``test accuracy (higher is better)``."""
        note = ", axis reversed" if turned and self.direction == "min" else ""
        return f"{part} {escape(self.name, quote=False)} ({self.better}{note})"

    def axis(self, values: Iterable[float], *, turned: bool = True) -> dict[str, Any]:
        """Return Plotly's settings of an axis that shows the score.

        Args:
            values: What will be drawn; decides between a linear and a log scale.
            turned: Whether the axis runs towards the better values also when low is good.
        """
        values = [value for value in values if math.isfinite(value)]
        drawn = {"type": "linear"} if self.percent else scale(values)
        way = "reversed" if turned and self.direction == "min" else True
        # Left alone, Plotly would give an empty axis shares of -100 % to 600 %.
        limits = {"autorange": way} if values else {"range": [0, 1]}
        return {**drawn, **limits, "tickformat": ".2~%" if self.percent else ".4~g"}


def scale(values: Iterable[float]) -> dict[str, Any]:
    """Return Plotly's scale for the values: a log one when they are positive and range widely.

    >>> scale([0.5, 2.3]), scale([])
    ({'type': 'linear'}, {'type': 'linear'})
    >>> scale([0.02, 2.3]), scale([1e-3, 1e4])
    ({'type': 'log', 'dtick': 'D2'}, {'type': 'log', 'dtick': 1})
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or min(finite) <= 0 or max(finite) / min(finite) < _WIDE:
        return {"type": "linear"}
    # "D2" writes 1, 2 and 5 of every decade: too many where there are many decades.
    return {"type": "log", "dtick": "D2" if max(finite) / min(finite) < _VERY_WIDE else 1}


def _written(value: float | None, percent: bool, unit: str) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{100 * value:.2f} {unit}" if percent else f"{value:.5g}"
    return text.replace("-", "−")
