"""A study's folder: two tables and a JSON page, each replaced whole so that a crash loses nothing.

``trials.parquet`` holds one row per member, ``curves.parquet`` one per evaluation point,
``study.json`` everything else.
"""

import datetime
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from ravine.core.errors import SettingError

FORMAT = 1
STUDY, TRIALS, CURVES = "study.json", "trials.parquet", "curves.parquet"
CURVE_COLUMNS = ("member", "step", "epoch", "train_loss", "val_loss", "val_score")
# Where the columns of further hyper-parameters are put in: after the learning rate.
_BEFORE_HYPERS = ("member", "optimizer", "phase", "seed", "lr")
_AFTER_HYPERS = (
    "status",
    "diverged_at",
    "steps",
    "seconds",
    "val_loss",
    "val_score",
    "test_loss",
    "test_score",
)
TRIAL_COLUMNS = (*_BEFORE_HYPERS, *_AFTER_HYPERS)
# Columns that are not floats. Int64 can be missing: a member that was stopped has no steps.
_TYPES = {
    "member": "int64",
    "seed": "int64",
    "step": "int64",
    "steps": "Int64",
    "diverged_at": "Int64",
    "optimizer": "str",
    "phase": "str",
    "status": "str",
}


def default_folder(problem: str) -> Path:
    """Return ``ravine-studies/<problem>-<time>``, where a study goes unless told."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", problem).strip("-")
    return Path("ravine-studies") / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def refuse_used(folder: Path) -> None:
    """Check that a study can be stored in a folder.

    Raises:
        SettingError: When it already holds one, or is a file.
    """
    if (folder / STUDY).exists():
        raise SettingError(f"out must be a new folder, {folder} already holds a study")
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"out must be a folder, {folder} is a file")


def write_study(folder: Path, study: Mapping[str, Any]) -> None:
    """Replace ``study.json``; numbers that are not finite become null."""
    text = json.dumps(json_safe(study), indent=2, ensure_ascii=False, allow_nan=False)
    _replace(folder / STUDY, lambda path: path.write_text(text + "\n", encoding="utf-8"))


def write_tables(
    folder: Path, trials: Sequence[Mapping[str, Any]], curves: Sequence[Sequence[Any]]
) -> None:
    """Replace both tables.

    Args:
        folder: The study's folder.
        trials: One mapping per member, by column; hyper-parameters a rule lacks are left out.
        curves: One row per evaluation point, in the order of `CURVE_COLUMNS`.
    """
    # By number: the order in which parallel trainings finish differs from run to run.
    trial_table = trials_frame(sorted(trials, key=itemgetter("member")))
    curve_table = curves_frame(sorted(curves, key=itemgetter(0)))
    _replace(folder / TRIALS, lambda path: trial_table.to_parquet(path, index=False))
    _replace(folder / CURVES, lambda path: curve_table.to_parquet(path, index=False))


def trials_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the trials as a table with the stored columns and types."""
    further = {name: None for row in rows for name in row if name not in TRIAL_COLUMNS}
    columns = [*_BEFORE_HYPERS, *further, *_AFTER_HYPERS]
    return _typed(pd.DataFrame(list(rows), columns=columns))


def curves_frame(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return the curves as a table with the stored columns and types."""
    return _typed(pd.DataFrame(list(rows), columns=list(CURVE_COLUMNS)))


def read_study(folder: str | Path) -> dict[str, Any]:
    """Read ``study.json``.

    Raises:
        SettingError: When the folder holds no study, or one of a newer format.
    """
    path = Path(folder) / STUDY
    if not path.is_file():
        raise SettingError(f"{folder} holds no study: {STUDY} is missing")
    study = json.loads(path.read_text(encoding="utf-8"))
    if study.get("format") != FORMAT:
        raise SettingError(
            f"{path} has format {study.get('format')!r}, this version of Ravine reads {FORMAT}"
        )
    return study


def read_trials(folder: str | Path) -> pd.DataFrame:
    """Read the trials, one row per member."""
    return pd.read_parquet(Path(folder) / TRIALS)


def read_curves(folder: str | Path) -> pd.DataFrame:
    """Read the curves, one row per member and evaluation point."""
    return pd.read_parquet(Path(folder) / CURVES)


def json_safe(value: Any) -> Any:
    """Return the value with numbers that JSON cannot hold replaced by None.

    >>> json_safe({"rate": float("nan"), "pair": (1, 2.5)})
    {'rate': None, 'pair': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if hasattr(value, "item"):  # NumPy's scalars
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({name: _TYPES.get(name, "float64") for name in frame.columns})


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    # A rename is atomic: a reader, or a crash, meets the old file or the new one.
    fresh = path.with_name(f".{path.name}.new")
    write(fresh)
    fresh.replace(path)
