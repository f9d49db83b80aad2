"""The end of a study on the terminal: ranking, verdict, the winner's program, where it all is."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from ravine._compare import Study
from ravine.studies.storage import CURVES, STUDY, TRIALS
from ravine.studies.verdict import format_score

_MISSING = "-"


def show_results(study: Study, console: Console) -> None:
    """Print what a finished study found."""
    page = study.json
    table = ranking_table(page)
    unbounded = console.options.update(max_width=10_000)
    if Measurement.get(console, unbounded, table).maximum > console.width:
        table = ranking_table(page, narrow=True)
    console.print(table)
    console.print(f"\n{page['verdict']}", style="bold", markup=False)
    if page["winner"]:
        console.print("\nThe winner as a PyTorch program:\n")
        # Neither wrapped nor coloured, so that what is copied is what runs.
        console.print(page["winner"]["code"], markup=False, highlight=False, soft_wrap=True)
    files = f"{STUDY}, {TRIALS}, {CURVES}, report.html"
    console.print(f"Stored in {study.folder}: {files}", markup=False, soft_wrap=True)


def ranking_table(page: Mapping[str, Any], *, narrow: bool = False) -> Table:
    """Return the ranking, best first, as a table.

    Args:
        page: The content of ``study.json``.
        narrow: Leave out the time of a step and most of the space between columns.
    """
    score, confidence = page["score"]["name"], page["protocol"]["confidence"]
    # No lines: all columns then fit into 80 characters, but for long names.
    space = (0, 1 if narrow else 2, 0, 0)
    table = Table(title=_title(page), title_justify="left", box=None, padding=space)
    table.caption, table.caption_justify = _tuning_failures(page), "left"
    table.add_column("optimizer", no_wrap=True)
    interval = f"{confidence:.0%} interval"
    alone = [] if narrow else ["step alone"]
    for heading in ("lr", score, interval, "to target", *alone, "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in page["ranking"]:
        table.add_row(*_cells(row, score, page["target"], narrow))
    return table


def _tuning_failures(page: Mapping[str, Any]) -> str | None:
    found = [(row["optimizer"], row["tuning_failures"]) for row in page["ranking"]]
    said = [f"{name} {count}" for name, count in found if count]
    return f"diverged or stopped while tuning and selecting: {', '.join(said)}" if said else None


def _title(page: Mapping[str, Any]) -> str:
    phase = "confirm" if page["settings"]["confirm"] else "tune"
    seeds = page["settings"]["seeds"][phase]
    kind = "fresh seeds" if phase == "confirm" else "tuning seeds"
    what = f"{page['problem']['model']} on {page['problem']['data']}"
    return f"{what}: mean test {page['score']['name']} over {seeds} {kind}"


def _cells(row: Mapping[str, Any], score: str, target: float | None, narrow: bool) -> list[str]:
    interval = _MISSING
    if row["low"] is not None:
        # The unit once: "95.13 to 98.75 %".
        low, high = (format_score(row[end], score) for end in ("low", "high"))
        interval = f"{low.removesuffix(' %')} to {high}"
    steps = row["steps_to_target"]
    alone = [] if narrow else [f"{row['seconds_per_step'] * 1e6:,.0f} µs"]
    return [
        row["optimizer"],
        f"{row['lr']:.3g}",
        _MISSING if row["score"] is None else format_score(row["score"], score),
        interval,
        f"{steps:.0f} steps" if steps is not None else _MISSING if target is None else "never",
        *alone,
        str(row["failures"]),
    ]
