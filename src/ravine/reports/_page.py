"""The report: one HTML file that needs nothing but a browser."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from plotly import graph_objects as go

from ravine.core.errors import DataError
from ravine.reports import _facts as facts
from ravine.reports import _tables as tables
from ravine.reports._budget import Budget
from ravine.reports._curves import Curves
from ravine.reports._ranking import Ranking
from ravine.reports._sensitivity import Sensitivity
from ravine.reports._stored import StoredStudy, read_stored
from ravine.reports._templates import rendered


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Args:
        key: Its name in the page.
        says: What it shows, for those who do not see it.
        data: Plotly's JSON, safe inside a script element.
        height: In pixels.
    """

    key: str
    says: str
    data: Markup
    height: int


def write_report(study_folder: str | Path, path: str | Path | None = None) -> Path:
    """Write the report of a stored study as one HTML file.

    The file holds its figures, styles and scripts, and loads nothing from elsewhere. It is made
    from what is stored alone, so a study of last year can be reported today.

    Args:
        study_folder: What ``ravine compare --out`` wrote. A study that was interrupted is
            reported too, and the page says so.
        path: File to write, replaced if it exists; None for ``report.html`` in the folder.

    Returns:
        The path written.

    Raises:
        DataError: When the folder lacks a file or one cannot be read, or the path's folder does
            not exist.
    """
    study = read_stored(study_folder)
    path = Path(path) if path is not None else study.folder / "report.html"
    if not path.parent.is_dir():
        raise DataError(f"path must lie in a folder that exists, got {path}; make {path.parent}")
    path.write_text(_render(study), encoding="utf-8")
    return path


def _render(study: StoredStudy) -> str:
    pictures = {picture.key: picture for picture in _pictures(study)}
    return rendered("report.html", study=study, pictures=pictures, tables=tables, facts=facts)


def _pictures(study: StoredStudy) -> Iterator[Picture]:
    """Return the figures that have something to show."""
    count = len(study.optimizers)
    ranking, curves = Ranking(study), Curves(study)
    if not ranking.frame().empty:
        says = f"Ranking of {count} optimizers: every seed's test {study.score.name} as a point, "
        yield _picture("ranking", says + "means with their intervals.", ranking.plot())
    says = f"{study.score.name} against the learning rate for {count} optimizers, with failures."
    yield _picture("sensitivity", says, Sensitivity(study).plot())
    if not curves.frame().empty:
        says = "Median and middle half over seeds of validation score and training loss by epoch."
        yield _picture("curves", says, curves.plot())
    budget = Budget(study)
    spent = budget.frame().dropna()["trials"]
    if len(spent) and spent.max() > 1:
        says = f"Expected best {study.score.name} against the number of trials spent on tuning."
        yield _picture("budget", says, budget.plot())


def _picture(key: str, says: str, figure: go.Figure) -> Picture:
    # Plotly's JSON writes "<" as an escape, so that no stored name can end the script element.
    return Picture(key, says, Markup(figure.to_json()), figure.layout.height)
