"""What a study's folder holds, and that a write is whole or not there."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ravine.core.errors import SettingError
from ravine.studies import storage
from ravine.studies.storage import (
    default_folder,
    read_curves,
    read_study,
    read_trials,
    refuse_used,
    write_study,
    write_tables,
)

ROWS = [
    {"member": 0, "optimizer": "sgd", "phase": "tune", "seed": 3, "lr": 0.1, "status": "ok"}
    | {"diverged_at": None, "steps": 50, "seconds": 0.5, "val_loss": 0.2, "val_score": 0.9}
    | {"test_loss": math.nan, "test_score": math.nan},
    {"member": 1, "optimizer": "adam", "phase": "tune", "seed": 3, "lr": 1.0, "beta1": 0.9}
    | {"status": "diverged", "diverged_at": 7, "steps": 7, "seconds": 0.1, "val_loss": math.nan},
    {"member": 2, "optimizer": "adam", "phase": "tune", "seed": 4, "lr": 1.0, "beta1": 0.9}
    | {"status": "stopped"},
]


def test_trials_keep_columns_types_and_missing_values(tmp_path):
    write_tables(tmp_path, ROWS, [(0, 0, 0.0, math.nan, 2.3, 0.1)])
    table = read_trials(tmp_path)
    assert list(table.columns) == [
        *("member", "optimizer", "phase", "seed", "lr", "beta1", "status", "diverged_at"),
        *("steps", "seconds", "val_loss", "val_score", "test_loss", "test_score"),
    ]
    assert [str(t) for t in table.dtypes[["member", "seed", "lr", "beta1", "diverged_at"]]] == [
        *("int64", "int64", "float64", "float64", "Int64")
    ]
    assert table["diverged_at"].tolist() == [pd.NA, 7, pd.NA]
    assert table["steps"].tolist() == [50, 7, pd.NA]
    np.testing.assert_array_equal(table["beta1"], [np.nan, 0.9, 0.9])
    np.testing.assert_array_equal(table["val_score"], [0.9, np.nan, np.nan])


def test_curves_keep_columns_and_types(tmp_path):
    write_tables(tmp_path, ROWS, [(0, 0, 0.0, math.nan, 2.3, 0.1), (0, 50, 1.0, 0.3, 0.2, 0.9)])
    table = read_curves(tmp_path)
    assert list(table.columns) == list(storage.CURVE_COLUMNS)
    assert table["step"].tolist() == [0, 50]
    assert str(table["step"].dtype) == "int64"
    assert table["val_score"].tolist() == [0.1, 0.9]


def test_tables_without_rows_can_be_stored(tmp_path):
    write_tables(tmp_path, [], [])
    assert (len(read_trials(tmp_path)), len(read_curves(tmp_path))) == (0, 0)
    assert list(read_trials(tmp_path).columns) == list(storage.TRIAL_COLUMNS)


def test_json_holds_no_number_that_json_cannot(tmp_path):
    page = {"format": 1, "a": math.inf, "b": [np.float64("nan"), np.int64(3)], "c": (1.5, "x")}
    write_study(tmp_path, page)
    text = (tmp_path / "study.json").read_text(encoding="utf-8")
    strict = json.loads(text, parse_constant=pytest.fail)
    assert strict == {"format": 1, "a": None, "b": [None, 3], "c": [1.5, "x"]}
    assert read_study(tmp_path) == strict


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    write_study(tmp_path, {"format": 1, "seconds": 1.0})

    def breaks(self: Path, *_: object, **__: object) -> None:
        self.write_bytes(b"{")
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", breaks)
    with pytest.raises(OSError, match="disk full"):
        write_study(tmp_path, {"format": 1, "seconds": 2.0})
    assert read_study(tmp_path)["seconds"] == 1.0


def test_a_used_folder_is_refused(tmp_path):
    refuse_used(tmp_path)
    refuse_used(tmp_path / "new" / "deep")
    write_study(tmp_path, {"format": 1})
    with pytest.raises(SettingError, match="already holds a study"):
        refuse_used(tmp_path)
    with pytest.raises(SettingError, match=r"study\.json is a file"):
        refuse_used(tmp_path / "study.json")


def test_a_folder_without_study_or_of_another_format_is_an_error(tmp_path):
    with pytest.raises(SettingError, match=r"holds no study: study\.json is missing"):
        read_study(tmp_path)
    write_study(tmp_path, {"format": 99})
    with pytest.raises(SettingError, match="has format 99, this version of Ravine reads 1"):
        read_study(tmp_path)


def test_the_default_folder_has_a_plain_name():
    folder = default_folder("my data: mlp/64")
    assert folder.parent == Path("ravine-studies")
    assert folder.name.startswith("my-data-mlp-64-")
