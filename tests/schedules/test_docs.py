"""The page on schedules: its examples run, and its table names what there is."""

import doctest
import re
from pathlib import Path

import ravine.schedules
from ravine.schedules import schedule_names

PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"


def test_the_examples_run():
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.failed == 0
    assert result.attempted > 10


def test_the_table_names_every_schedule():
    text = PAGE.read_text(encoding="utf-8")
    names = set(ravine.schedules.__all__) - {"Schedule", "describe", "get_schedule"}
    for name in names - {"schedule_names"}:
        assert re.search(rf"`{name}[`(]", text), name
    for name in schedule_names():
        assert re.search(rf"\| `{name}[`:\[]", text), name
