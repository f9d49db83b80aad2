"""The page of conventions is what the registry and the table say, and its tests exist."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ravine.testing._peers import LIBRARIES
from ravine.testing._points import POINTS
from ravine.testing.conventions import page

ROOT = Path(__file__).parents[2]


def test_the_committed_page_is_the_generated_one():
    committed = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    assert committed == page(), "run: python -m ravine.testing.conventions > docs/conventions.md"


def test_every_point_has_its_test():
    tests = (ROOT / "tests" / "testing" / "test_points.py").read_text(encoding="utf-8")
    missing = [point.test for point in POINTS if f"def {point.test}(" not in tests]
    assert missing == []


def test_every_row_names_a_test_that_is_run():
    files = [str(ROOT / "tests" / "testing" / f) for f in ("test_peers.py", "test_verify.py")]
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "--collect-only", "-q", *files]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    collected = set(re.findall(r"::(test_(?:golden|peer)\[.*\])$", done.stdout, re.MULTILINE))
    named = set(re.findall(r"`(test_(?:golden|peer)\[[^`]*\])`", page()))
    # pytest numbers the trajectories of one convention where there are several.
    assert named <= collected | {re.sub(r"\d+\]$", "]", test) for test in collected}
    assert {test for test in collected if test.startswith("test_peer[")} <= named


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=lambda library: library.name)
def test_differences_were_measured_with_the_installed_version(library):
    if not library.installed:
        pytest.skip(f"{library.name} is not installed")
    assert version(library.distribution).partition("+")[0] == library.tested
