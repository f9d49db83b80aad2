"""A study as its folder holds it: checked when read, and never computed anew."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ravine.core.errors import DataError
from ravine.reports._score import Score
from ravine.studies.storage import CURVE_COLUMNS, CURVES, FORMAT, STUDY, TRIAL_COLUMNS, TRIALS

_REQUIRED = ("score", "optimizers")  # what no section can do without
_MAKE = "`ravine compare --out FOLDER` writes a whole study"


@dataclass(frozen=True, eq=False)
class StoredStudy:
    """What `ravine compare` stored.

    Args:
        folder: Where it was read from.
        page: ``study.json``.
        trials: ``trials.parquet``, one row per member.
        curves: ``curves.parquet``, one row per member and evaluation point.
    """

    folder: Path
    page: dict[str, Any]
    trials: pd.DataFrame
    curves: pd.DataFrame

    @property
    def complete(self) -> bool:
        """Whether the study ran to its end."""
        return self.page.get("status") == "complete"

    @property
    def optimizers(self) -> list[str]:
        """Names of the optimizers, in the order they were given."""
        return [str(one["name"]) for one in self.page["optimizers"]]

    @property
    def score(self) -> Score:
        """The score the study is decided by."""
        return Score(self.page["score"]["name"], self.page["score"]["direction"])

    @property
    def tuning_score(self) -> str:
        """Column of `trials` that tuning compares: the test score without a validation split."""
        tuned = self.trials[self.trials["phase"] == "tune"]
        return "test_score" if tuned["val_score"].isna().all() else "val_score"

    @property
    def final_phase(self) -> str:
        """The phase that gives the final scores: ``tune`` where nothing was confirmed."""
        return "confirm" if (self.trials["phase"] == "confirm").any() else "tune"

    def section(self, name: str) -> dict[str, Any]:
        """Return a part of ``study.json``; empty when it is missing or null."""
        return self.page.get(name) or {}

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return a list of ``study.json``; empty when it is missing or null."""
        return self.page.get(name) or []

    def at_chosen_rate(self, rows: pd.DataFrame) -> np.ndarray:
        """Return, for rows with `optimizer` and `lr`, where that is the rate the study chose."""
        chosen = {row["optimizer"]: row["lr"] for row in self.rows("ranking")}
        rate = pd.to_numeric(rows["optimizer"].map(chosen)).astype(float)
        # Rates went through JSON and Parquet exactly; a user's own file may have rounded them.
        return np.isclose(rows["lr"].astype(float), rate, rtol=1e-6, atol=0)

    def final_trials(self) -> pd.DataFrame:
        """Return the trials of the final phase, for each optimizer at the rate chosen for it.

        A trial that failed has no test score, whatever was stored of it.
        """
        final = self.trials[self.trials["phase"] == self.final_phase]
        final = final[self.at_chosen_rate(final)]
        return final.assign(test_score=final["test_score"].where(final["status"] == "ok"))


def read_stored(folder: str | Path) -> StoredStudy:
    """Read a study's folder.

    Args:
        folder: What ``ravine compare --out`` wrote: ``study.json``, ``trials.parquet`` and
            ``curves.parquet``. A study that was interrupted can be read too.

    Raises:
        DataError: When a file is missing, cannot be read or lacks what a report needs.
    """
    folder = Path(folder)
    page = _read(folder / STUDY, lambda path: json.loads(path.read_text(encoding="utf-8")))
    _check_page(folder / STUDY, page)
    trials = _read(folder / TRIALS, pd.read_parquet)
    curves = _read(folder / CURVES, pd.read_parquet)
    _check_columns(folder / TRIALS, trials, TRIAL_COLUMNS)
    _check_columns(folder / CURVES, curves, CURVE_COLUMNS)
    return StoredStudy(folder, page, trials, curves)


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    if not path.is_file():
        raise DataError(f"{path.parent}: {path.name} is missing; {_MAKE}")
    try:
        return reader(path)
    except (ValueError, OSError) as error:  # JSON's, UTF-8's and Arrow's errors among them
        raise DataError(f"{path} cannot be read: {error}; {_MAKE}") from error


def _check_page(path: Path, page: Any) -> None:
    if not isinstance(page, dict) or page.get("format") != FORMAT:
        given = page.get("format") if isinstance(page, dict) else page
        raise DataError(f"{path} must have format {FORMAT}, got {given!r}; {_MAKE}")
    if missing := [name for name in _REQUIRED if not page.get(name)]:
        raise DataError(f"{path} lacks {missing[0]!r}; {_MAKE}")
    if (direction := page["score"].get("direction")) not in ("max", "min"):
        raise DataError(f"{path}: score direction must be 'max' or 'min', got {direction!r}")


def _check_columns(path: Path, table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if missing := [name for name in columns if name not in table]:
        raise DataError(f"{path} lacks the column {missing[0]!r}; {_MAKE}")
