"""Reports: figures, tables and one self-contained HTML page from a stored study; nothing trains."""

from ravine.reports._budget import Budget
from ravine.reports._curves import Curves
from ravine.reports._page import write_report
from ravine.reports._ranking import Ranking
from ravine.reports._sensitivity import Sensitivity
from ravine.reports._stored import StoredStudy, read_stored

__all__ = [
    "Budget",
    "Curves",
    "Ranking",
    "Sensitivity",
    "StoredStudy",
    "read_stored",
    "write_report",
]
