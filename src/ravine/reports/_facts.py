"""What ran, as lists of facts: settings, protocol, versions, machine and the rules."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ravine.reports._cells import ABSENT, count, known, number, seconds
from ravine.reports._formulas import mathml
from ravine.reports._stored import StoredStudy
from ravine.reports._style import looks

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class RuleAsRun:
    """One optimizer: its formula and what was set.

    Args:
        name: Of the optimizer.
        colour: Its colour in the figures.
        convention: Whose variant of the formula it is, such as ``torch``.
        formulas: One equation each, in MathML.
        hypers: Hyper-parameters; the learning rate is the one chosen.
        notes: Source, and what differs from other conventions.
    """

    name: str
    colour: str
    convention: str
    formulas: list[Markup]
    hypers: Facts
    notes: list[str]


def rules_as_run(study: StoredStudy) -> list[RuleAsRun]:
    """Return every optimizer of the study."""
    chosen = {row["optimizer"]: row.get("lr") for row in study.rows("ranking")}
    style = looks(study.optimizers)
    return [
        RuleAsRun(
            one["name"],
            style[one["name"]].colour,
            str(one.get("convention") or ""),
            [mathml(latex) for _, latex in _items(one.get("latex"))],
            _hypers(one, chosen.get(one["name"])),
            [str(one[key]) for key in ("differs", "paper") if one.get(key)],
        )
        for one in study.page["optimizers"]
    ]


def _hypers(one: dict[str, Any], chosen: float | None) -> Facts:
    values = dict(_items(one.get("hypers")))
    if known(chosen):
        values["lr"] = chosen
    return [(name, number(value, 6).text) for name, value in values.items()]


def settings(study: StoredStudy) -> Facts:
    """Return problem and settings."""
    problem, given = study.section("problem"), study.section("settings")
    return [
        *_plain(problem, ("name", "data", "model", "loss", "input_shape", "classes")),
        *_counts(problem, ("parameters", "train", "validation", "test")),
        ("score", f"{study.score.name} ({study.score.better})"),
        *_plain(given, ("epochs", "batch", "schedule")),
        *_counts(given, ("steps", "trials")),
        ("learning rates", ", ".join(number(lr, 6).text for lr in given.get("lr") or [])),
        *_plain(given, ("seed",)),
    ]


def protocol(study: StoredStudy) -> Facts:
    """Return the protocol: seeds of every phase, intervals, corrections, extension."""
    rules = study.section("protocol")
    extension = rules.get("extension") or {}
    more = f"{extension.get('trials')} per optimizer: {extension.get('reason')}"
    smallest = rules.get("smallest_difference")
    matters = study.score.difference(smallest).removeprefix("+") if known(smallest) else "not set"
    return [
        *((f"seeds to {phase}", _runs(s)) for phase, s in _items(rules.get("phases")) if s),
        ("confidence", f"{rules['confidence']:.0%}" if known(rules.get("confidence")) else ABSENT),
        ("smallest difference that matters", matters),
        ("correction over pairs", str(rules.get("correction") or "none")),
        ("extra trials at the border", more if extension else "none"),
    ]


def environment(study: StoredStudy) -> Facts:
    """Return versions, machine and when it ran."""
    return [
        *((name, str(version)) for name, version in study.section("versions").items()),
        *((name.replace("_", " "), _value(x)) for name, x in study.section("machine").items()),
        ("started", str(study.page.get("created") or ABSENT)),
        ("took", seconds(study.page.get("seconds")).text),
    ]


def _runs(seeds: list[int]) -> str:
    """Write whole numbers, runs of them shortened.

    >>> _runs([0, 1, 2, 7, 9, 10])
    '0–2, 7, 9–10'
    """
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1][1:] = [seed]
        else:
            runs.append([seed])
    return ", ".join("–".join(map(str, run)) for run in runs)


def _plain(part: dict[str, Any], names: tuple[str, ...]) -> Facts:
    return [(name.replace("_", " "), _value(part[name])) for name in names if known(part.get(name))]


def _counts(part: dict[str, Any], names: tuple[str, ...]) -> Facts:
    return [(name, count(part[name]).text) for name in names if known(part.get(name))]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " × ".join(str(item) for item in value)
    return number(value).text if isinstance(value, float) else str(value)


def _items(mapping: Any) -> list[tuple[str, Any]]:
    return list((mapping or {}).items())
