"""One look for all figures: an optimizer keeps its colour, marker and line everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from plotly import graph_objects as go

# Petroff 2021, arXiv:2107.02270: ten colours told apart with any colour vision. The two that
# are hard to see on a dark page come last.
COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#e76300",
    "#94a4a2",
    "#a96b59",
    "#92dadd",
    "#b9ac70",
    "#bd1f01",
    "#717581",
    "#832db6",
)
# Markers differ as well, so that no figure depends on colour alone; nine and ten colours
# have no common factor below 90 optimizers.
_MARKERS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "pentagon",
    "star",
    "cross",
    "hexagram",
)
_LONGEST_TICK = 24
# A figure with a line per optimizer shows at most so many at first; a click adds others.
MOST_LINES = 10
_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Look:
    """How one optimizer is drawn."""

    colour: str
    marker: str
    dash: str

    def faded(self, share: float) -> str:
        """Return the colour with an opacity between 0 and 1.

        >>> Look("#3f90da", "circle", "solid").faded(0.2)
        'rgba(63,144,218,0.2)'
        """
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{share})"


def looks(optimizers: Sequence[str]) -> dict[str, Look]:
    """Return the look of each optimizer, by its place in the study."""
    return {
        name: Look(
            COLOURS[i % len(COLOURS)],
            _MARKERS[i % len(_MARKERS)],
            _DASHES[i // len(COLOURS) % len(_DASHES)],
        )
        for i, name in enumerate(optimizers)
    }


def label(name: str) -> str:
    """Return a name that Plotly writes as it stands: it reads ``<b>`` and its like as markup."""
    return escape(name, quote=False)


def tick(name: str) -> str:
    """Return a name as a tick label, cut where it would take the figure's room.

    >>> tick("adam"), tick("my_very_own_optimizer_with_momentum")
    ('adam', 'my_very_own_optimizer_w…')
    """
    return label(name if len(name) <= _LONGEST_TICK else name[: _LONGEST_TICK - 1] + "…")


def figure(height: int, **layout: Any) -> go.Figure:
    """Return an empty figure in the common style.

    Args:
        height: In pixels.
        layout: Further settings of Plotly's layout.
    """
    return go.Figure(layout=base_layout(height) | layout)


def thinned(chart: go.Figure, best_first: Sequence[str]) -> go.Figure:
    """Return a figure with a line per optimizer, those far behind hidden until clicked.

    Args:
        chart: The figure; its traces have an optimizer's label as name or legend group.
        best_first: The optimizers, best first.
    """
    hidden = {label(name) for name in best_first[MOST_LINES:]}
    for trace in chart.data:
        if trace.name in hidden or trace.legendgroup in hidden:
            trace.visible = "legendonly"
    return chart


def head(chart: go.Figure, text: str, panel: int = 1) -> None:
    """Write the title of a vertical axis above it, where it reads and takes no width."""
    axis = f"{panel if panel > 1 else ''} domain"
    place = {"x": 0, "xref": f"x{axis}", "xanchor": "left", "y": 1, "yref": f"y{axis}"}
    chart.add_annotation(text=text, showarrow=False, yanchor="bottom", yshift=4, **place)


def base_layout(height: int) -> dict[str, Any]:
    """Return the layout all figures share."""
    return {
        "template": "plotly_white",
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 32, "b": 8},  # on top: the mode bar
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "hoverlabel": {"namelength": -1},
        "legend": {"title": {"text": ""}},
    }
