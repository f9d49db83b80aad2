"""Figures, made by one call each. Importing this module imports Plotly and pandas."""

from collections.abc import Mapping, Sequence

from plotly import graph_objects as go

from ravine.reports.schedules import Schedules
from ravine.schedules import Schedule


def schedule(
    schedules: str | Schedule | Sequence[str | Schedule],
    total: int,
    base: Mapping[str, float] | None = None,
) -> go.Figure:
    """Draw schedules: the learning rate by step, and whatever else they change in more panels.

    Args:
        schedules: A schedule, its text as `ravine.schedules.get_schedule` reads it, or several.
        total: Number of steps, >= 1.
        base: Values at the start, such as ``{"lr": 0.1, "momentum": 0.9}``; None: a learning
            rate of 1 and a momentum of 0.9, which shows what is done to a momentum.

    Returns:
        A Plotly figure.

    Raises:
        SettingError: A schedule cannot be read, or not run over so many steps.

    >>> figure = schedule(["warmup:0.1+cosine", "onecycle"], total=100)
    >>> [trace.name for trace in figure.data if trace.showlegend]
    ['warmup:0.1+cosine', 'onecycle']
    """
    if isinstance(schedules, str) or not isinstance(schedules, Sequence):
        schedules = [schedules]
    start = {"lr": 1.0, "momentum": 0.9} if base is None else base
    return Schedules(schedules, total, start).plot()
