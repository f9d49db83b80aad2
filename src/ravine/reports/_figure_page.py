"""One figure as a page of its own, with the report's looks: dark, narrow and printed too."""

from pathlib import Path

from markupsafe import Markup
from plotly import graph_objects as go

from ravine.reports._templates import rendered


def write_figure(figure: go.Figure, path: Path, title: str, note: str) -> None:
    """Write a figure as an HTML file that loads nothing from elsewhere.

    Args:
        figure: The figure.
        path: File to write, replaced if it exists.
        title: Heading of the page.
        note: How to read the figure, below it.
    """
    # Plotly's JSON writes "<" as an escape, so that no name can end the script element.
    data, height = Markup(figure.to_json()), figure.layout.height
    page = rendered("figure.html", title=title, note=note, height=height, data=data)
    path.write_text(page, encoding="utf-8")
