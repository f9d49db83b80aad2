"""``ravine verify``: rules against stored trajectories and other libraries."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ravine.core.errors import unknown
from ravine.rules import Rule, load_rules
from ravine.testing import check_rule
from ravine.testing._conformance import (
    Conformance,
    Finding,
    conformance,
    known_names,
    split_name,
)

_STYLES = {
    "agrees": "green",
    "differs as stated": "yellow",
    "not installed": "dim",
    "unexpected": "bold red",
}


def run_verify(names: Sequence[str], *, rules: Path | None = None, as_json: bool = False) -> int:
    """Verify rules, print what was found, and return the exit status: 1 on the unexpected.

    Args:
        names: Built-in rules, as ``NAME`` or ``NAME@CONVENTION``, and those of the file; all
            built-in ones when empty, unless ``rules`` is given.
        rules: Python file with rules of the user's own, for which the contract is checked: those
            that ``names`` has, or all when it has none of them.
        as_json: Print JSON on standard output instead of a table.

    Raises:
        SettingError: When a name is unknown or the file holds no rule.
    """
    of_file = load_rules(rules) if rules is not None else []
    chosen = _built_in(names, [rule.name for rule in of_file])
    if not names and rules is None:
        chosen = known_names()
    own = _check_own([rule for rule in of_file if rule.name in names] or of_file)
    console = _console()
    lines = []
    for name in chosen:
        with console.status(f"verifying {name}"):
            lines.append(conformance(name))
    if as_json:
        print(json.dumps(_document(lines, own), indent=2))
    else:
        _print(lines, own)
    passed = all(line.as_expected for line in lines) and not any(own.values())
    return 0 if passed else 1


def _built_in(names: Sequence[str], own: Sequence[str]) -> list[str]:
    """Return the names that are not the file's own, all of them known."""
    chosen = [name for name in names if name not in own]
    for name in chosen:
        if name.partition("@")[0] not in known_names():
            raise unknown("rule", name, [*known_names(), *own])
        split_name(name)
    return chosen


def _check_own(rules: Sequence[Rule]) -> dict[str, str]:
    """Return each rule with what is wrong about it, or nothing."""
    found = {}
    for rule in rules:
        try:
            check_rule(rule)
            found[rule.name] = ""
        except AssertionError as error:
            found[rule.name] = str(error)
    return found


def _document(lines: Sequence[Conformance], own: dict[str, str]) -> dict[str, object]:
    return {
        "rules": [{**asdict(line), "as_expected": line.as_expected} for line in lines],
        "own": [{"rule": name, "wrong": wrong} for name, wrong in own.items()],
    }


def _console() -> Console:

    return Console(stderr=True)


def _print(lines: Sequence[Conformance], own: dict[str, str]) -> None:

    console = Console()
    if lines:
        table = Table(title="Largest difference relative to the largest weight", show_lines=True)
        table.add_column("rule", no_wrap=True)
        table.add_column("stored trajectories", no_wrap=True)
        table.add_column("other libraries")
        for line in lines:
            table.add_row(line.rule, _cell(line.golden), _cell(line.libraries))
        console.print(table)
        console.print(_summary(lines))
    for name, wrong in own.items():
        console.print(wrong or f"{name}: keeps the contract", markup=False)


def _cell(findings: Sequence[Finding]) -> Text:

    cell = Text()
    for i, finding in enumerate(findings):
        found = "" if finding.difference is None else f" {finding.difference:.2g}"
        says = finding.outcome in ("differs as stated", "unexpected")
        cell.append("\n" if i else "").append(f"{finding.what}: ")
        cell.append(f"{finding.outcome}{found}", _STYLES[finding.outcome])
        cell.append(f" ({finding.text})" if says else "")
    return cell


def _summary(lines: Sequence[Conformance]) -> str:
    found = [f.outcome for line in lines for f in (*line.golden, *line.libraries)]
    counts = (f"{found.count(outcome)} {outcome}" for outcome in _STYLES if outcome in found)
    return f"{len(lines)} rules: {', '.join(counts)}"
