"""Schedules drawn: what they make of the learning rate, and of whatever else they change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from ravine.core.errors import SettingError, unknown
from ravine.reports._style import Look, base_layout, head, label, looks
from ravine.schedules import Schedule, describe, get_schedule

_MOST_POINTS = 5000  # in a line: more cannot be seen and make the figure slow


@dataclass(frozen=True)
class Schedules:
    """Hyper-parameters against the step, for one or more schedules.

    Args:
        schedules: The schedules, or their texts.
        total: Number of steps, >= 1.
        base: Values at the start, ``lr`` among them.

    Raises:
        SettingError: There is no schedule, or one cannot be read or run over so many steps.
    """

    schedules: Sequence[str | Schedule]
    total: int
    base: Mapping[str, float]

    def __post_init__(self) -> None:
        if not len(self.schedules):
            raise SettingError("schedules must be at least one, got none; write ['cosine']")
        for schedule in self.schedules:
            for name in get_schedule(schedule)(0, self.total, self.base):
                if name not in self.base:
                    raise unknown("hyper-parameter of base", name, self.base)

    def frame(self) -> pd.DataFrame:
        """Return one row per schedule and step: ``schedule, step`` and what any of them changes.

        Of very many steps some are left out, never the first and last.
        """
        count = min(self.total, _MOST_POINTS)
        steps = np.unique(np.linspace(0, self.total - 1, count).round().astype(int))
        tables = []
        for name, schedule in zip(self._names(), self.schedules, strict=True):
            values = get_schedule(schedule)(steps, self.total, self.base)
            tables.append(pd.DataFrame({"schedule": name, "step": steps, **values}))
        table = pd.concat(tables, ignore_index=True)
        return table.fillna({name: self.base[name] for name in table.columns[2:]})

    def _names(self) -> list[str]:
        """Return what the schedules are called, with a number where two are called the same."""
        names = [s if isinstance(s, str) else describe(s) for s in self.schedules]
        seen = [names[:i].count(name) for i, name in enumerate(names)]
        return [f"{n} ({i + 1})" if i else n for n, i in zip(names, seen, strict=True)]

    def plot(self) -> go.Figure:
        """Return the figure: a panel for each value, a line for each schedule that changes it."""
        table = self.frame()
        changed = list(table.columns[2:])
        chart = make_subplots(rows=len(changed), cols=1, shared_xaxes=True, vertical_spacing=0.12)
        chart.update_layout(**base_layout(90 + 270 * len(changed)))
        chart.update_layout(showlegend=True)  # Plotly would leave a single schedule without a name
        for panel, key in enumerate(changed, start=1):
            for name, look in looks(self._names()).items():
                own = table[table["schedule"] == name]
                if panel == 1 or (own[key] != own[key].iloc[0]).any():
                    line = _line(own, key, name, look, first=panel == 1)
                    chart.add_trace(line, row=panel, col=1)
            chart.update_yaxes(rangemode="tozero" if key == "lr" else "normal", row=panel, col=1)
            head(chart, _title(key), panel)
        chart.update_xaxes(title={"text": "step"}, row=len(changed), col=1)
        return chart


def _line(own: pd.DataFrame, key: str, name: str, look: Look, *, first: bool) -> go.Scatter:
    return go.Scatter(
        x=own["step"].tolist(),
        y=own[key].tolist(),
        name=label(name),
        legendgroup=label(name),
        showlegend=first,
        mode="lines+markers" if len(own) == 1 else "lines",
        # A value holds for its step: a jump is upright, and never a slope.
        line={"color": look.colour, "dash": look.dash, "width": 2, "shape": "hv"},
        hovertemplate=f"{label(name)}, step %{{x}}: %{{y:.4~g}}<extra></extra>",
    )


def _title(key: str) -> str:
    return "learning rate" if key == "lr" else key
