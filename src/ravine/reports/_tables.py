"""The tables of the page, made from what the study stored."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from ravine.reports._cells import ABSENT, Cell, Table, count, known, number, seconds
from ravine.reports._stored import StoredStudy
from ravine.reports._style import looks

_NOT_REACHED = Cell("not reached")


def ranking_table(study: StoredStudy) -> Table:
    """Return the ranking: rank, optimizer, rate, score, interval, failures."""
    name, text = _names(study), study.score.text
    failed = _failure_shares(study.final_trials())
    rows = [
        (
            Cell(str(place), place),
            name(row["optimizer"]),
            number(row.get("lr"), 6),
            Cell(text(row.get("score")), row.get("score")),
            _range(text(row.get("low")), text(row.get("high"))),
            failed.get(row["optimizer"], Cell(ABSENT)),
        )
        for place, row in enumerate(study.rows("ranking"), start=1)
    ]
    head = (
        *("Rank", "Optimizer", "Learning rate", f"Mean test {study.score.name}", "Interval"),
        "Failed seeds",
    )
    return Table("Ranking, best first", head, rows)


def seeds_table(study: StoredStudy) -> Table:
    """Return the score of every seed, one row per seed and one column per optimizer."""
    text, final = study.score.text, study.final_trials()
    seeds = sorted(final["seed"].unique())
    scores = {(row["optimizer"], row["seed"]): row for row in final.to_dict("records")}

    def cell(optimizer: str, seed: int) -> Cell:
        row = scores.get((optimizer, seed))
        if row is None:
            return Cell(ABSENT)
        score = row["test_score"]
        return Cell(text(score), score) if known(score) else Cell(row["status"], tone="bad")

    order = [row["optimizer"] for row in study.rows("ranking")]
    rows = [(Cell(str(seed)), *(cell(one, seed) for one in order)) for seed in seeds]
    return Table(f"Test {study.score.name} of every seed", ("Seed", *order), rows)


def pair_tables(study: StoredStudy) -> list[Table]:
    """Return the pairwise comparisons: those with the first of the ranking, then the others."""
    first = next((row["optimizer"] for row in study.rows("ranking")), None)
    split: dict[bool, list[tuple[Cell, ...]]] = {True: [], False: []}
    for pair in study.rows("pairs"):
        split[first in (pair["a"], pair["b"])].append(_pair(study, pair))
    head = ("First", "Second", "Difference", "Interval", "p (Holm)", "Verdict", "Seeds to decide")
    captions = {True: f"{first} against the others", False: "All other pairs"}
    return [Table(captions[key], head, rows) for key, rows in split.items() if rows]


_VERDICTS = {
    "better": ("▲ {a} is better", "good"),
    "worse": ("▼ {b} is better", "good"),
    "equivalent": ("≈ equivalent", "even"),
    "undecided": ("? undecided", "open"),
}


def _pair(study: StoredStudy, pair: dict[str, Any]) -> tuple[Cell, ...]:
    name, score = _names(study), study.score
    words, tone = _VERDICTS.get(pair["verdict"], (str(pair["verdict"]), "open"))
    return (
        name(pair["a"]),
        name(pair["b"]),
        Cell(score.difference(pair.get("difference")), pair.get("difference")),
        Cell(score.interval(pair.get("low"), pair.get("high"))),
        number(pair.get("p_holm"), 2),
        Cell(words.replace("{a}", pair["a"]).replace("{b}", pair["b"]), tone=tone),
        count(pair.get("seeds_needed")),
    )


def speed_table(study: StoredStudy) -> Table:
    """Return steps and seconds to the target and seconds per step."""
    name, target = _names(study), study.page.get("target")

    def reached(value: Any, shown: Callable[[Any], Cell]) -> Cell:
        # A miss is infinite, which JSON stores as null; without a target there is no miss.
        return shown(value) if known(value) or target is None else _NOT_REACHED

    rows = [
        (
            name(row["optimizer"]),
            reached(row.get("steps_to_target"), count),
            reached(row.get("seconds_to_target"), seconds),
            seconds(row.get("seconds_per_step")),
        )
        for row in study.rows("ranking")
    ]
    head = ("Optimizer", "Steps to target", "Seconds to target", "Time per step, alone")
    goal = f"target: validation {study.score.name} {study.score.text(target)}"
    goal = "no target was set" if target is None else goal
    return Table(f"Speed ({goal})", head, rows)


def tuning_table(study: StoredStudy) -> Table:
    """Return what tuning promised and what was confirmed, failures and the good range."""
    name, score = _names(study), study.score
    failed = _failure_shares(study.trials[study.trials["phase"] == "tune"])
    rows = [
        (
            name(row["optimizer"]),
            Cell(score.text(row.get("tune_score")), row.get("tune_score")),
            Cell(score.text(row.get("select_score")), row.get("select_score")),
            Cell(score.text(row.get("score")), row.get("score")),
            Cell(score.difference(row.get("winners_curse")), row.get("winners_curse")),
            failed.get(row["optimizer"], Cell(ABSENT)),
            number(row.get("width_decades"), 3),
        )
        for row in study.rows("ranking")
    ]
    head = (
        *("Optimizer", "When tuned", "When selected", "Test", "Winner’s curse"),
        *("Failed before", "Good rates, decades"),
    )
    return Table("What tuning promised, and how forgiving it was", head, rows)


def _failure_shares(trials: pd.DataFrame) -> dict[str, Cell]:
    failed = (trials["status"] != "ok").groupby(trials["optimizer"])
    return {
        str(name): Cell(f"{own.sum()} of {len(own)} ({own.mean():.0%})", float(own.mean()))
        for name, own in failed
    }


def failure_table(study: StoredStudy) -> Table:
    """Return the failed trainings, counted by optimizer, learning rate and phase."""
    name, order = _names(study), {one: i for i, one in enumerate(study.optimizers)}
    groups = study.trials.groupby(["optimizer", "lr", "phase"], sort=True)
    found: list[tuple[Any, pd.DataFrame]] = [
        (key, own) for key, own in groups if (own["status"] != "ok").any()
    ]
    found.sort(key=lambda item: (order.get(item[0][0], len(order)), item[0][1]))
    rows = [
        (
            name(key[0]),
            number(key[1], 6),
            Cell(key[2]),
            count(int((own["status"] == "diverged").sum())),
            count(int((own["status"] == "stopped").sum())),
            count(len(own)),
            _steps(own["diverged_at"]),
        )
        for key, own in found
    ]
    head = (
        *("Optimizer", "Learning rate", "Phase", "Diverged", "Stopped", "Of seeds"),
        "Diverged at step",
    )
    return Table("Trainings that failed", head, rows)


def _steps(values: pd.Series) -> Cell:
    steps = sorted(int(step) for step in values.dropna())
    if not steps:
        return Cell(ABSENT)
    one = steps[0] == steps[-1]
    return Cell(str(steps[0]) if one else f"{steps[0]} to {steps[-1]}")


def _names(study: StoredStudy) -> Callable[[str], Cell]:
    style = looks(study.optimizers)
    return lambda name: Cell(name, colour=style[name].colour if name in style else "")


def _range(low: str, high: str) -> Cell:
    return Cell(ABSENT if ABSENT in (low, high) else f"{low.removesuffix(' %')} to {high}")
