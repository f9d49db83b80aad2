"""The figures of this folder: reports come later in the order of folders, so they stand here."""

from math import log10
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LINE = {"color": "#3f90da", "width": 2}
SECOND = {"color": "#ffa90e", "width": 2, "dash": "dash"}
WRONG = {"color": "#bd1f01", "width": 2, "dash": "dot"}


def plain_figure(x: str, y: str, **layout: Any) -> "Figure":
    """Return an empty figure with titled axes."""
    from plotly import graph_objects as go  # noqa: PLC0415 - takes half a second

    chart = go.Figure()
    chart.update_layout(
        template="plotly_white",
        height=420,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis_title=x,
        yaxis_title=y,
        **layout,
    )
    return chart


def density_figure(table: pd.DataFrame, size: int) -> "Figure":
    """Return the figure of a spectrum: a curve that counts eigenvalues, on a log scale."""
    chart = plain_figure("eigenvalue", "eigenvalues per unit", showlegend=False)
    counts = table["density"] * size
    chart.add_scatter(x=table["eigenvalue"], y=counts, mode="lines", line=LINE, name="density")
    top = counts.max()
    # One label a decade: Plotly's own ones between them lie on each other here.
    chart.update_yaxes(type="log", exponentformat="power", dtick=1, range=_decades(top, 6))
    return chart


def _decades(top: float, count: int) -> list[float]:
    return [log10(top) - count, log10(top) + 0.3]
