"""Ratios of two sides: interleaved rounds, medians, one table, and the same as JSON.

A *side* is anything that can be timed: a name and a function that does a piece of work and returns
the seconds per unit of it. All sides take turns in every round, in an order drawn for each, so that
a machine that slows down slows both halves of every ratio.
"""

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median

QUIET = 0.5  # load of a machine that does nothing else; more of it makes ratios meaningless
LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # before any side has started

LIBRARIES = (
    *("ravine", "torch", "numba", "numpy", "jax", "optax", "optuna"),
    *("torch-optimi", "pytorch-optimizer", "lion-pytorch"),
)


@dataclass(frozen=True)
class Side:
    """One side of a comparison: `measure()` does some work and returns seconds per unit."""

    name: str
    measure: Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """What a row compares with: the fastest of `sides`, and the ratio that is asked for.

    Args:
        against: the row's text.
        sides: names of sides; the one with the smallest median is taken.
        at_least: ratio theirs / ours to reach; None where the row only informs.
        absent: sides that cannot run, with the reason.
        scale: factor on their seconds, where the units differ.
    """

    against: str
    sides: Sequence[str]
    at_least: float | None = None
    absent: Sequence[tuple[str, str]] = ()
    scale: float = 1.0


@dataclass(frozen=True)
class Row:
    """One line of the table: `ratio` is theirs / ours, None where there is none (see `note`)."""

    benchmark: str
    against: str
    ratio: float | None
    low: float | None
    high: float | None
    at_least: float | None
    ours: float | None
    theirs: float | None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the ratio asked for was reached; None where nothing was asked or measured."""
        if self.ratio is None or self.at_least is None:
            return None
        return self.ratio >= self.at_least


def interleaved(sides: Sequence[Side], rounds: int) -> dict[str, list[float]]:
    """Time every side once per round, in an order drawn for each.

    With one order for all, a side would always find the caches as the same other one leaves them.
    A round before the first is not counted: there caches fill and thread pools settle.
    """
    for side in sides:
        side.measure()
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    orders = random.Random(0)
    for _ in range(rounds):
        for side in orders.sample(sides, len(sides)):
            times[side.name].append(side.measure())
    return times


def repeated(step: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Return a `measure` that calls `step` for about so many seconds, half as many uncounted.

    A step over large tensors takes some thirty calls until the processor's caches have settled on
    their memory rather than that of the side before.
    """
    step()
    begin = time.perf_counter()
    step()
    count = max(1, round(seconds / (time.perf_counter() - begin)))

    def measure() -> float:
        for _ in range(count // 2):
            step()
        begin = time.perf_counter()
        for _ in range(count):
            step()
        return (time.perf_counter() - begin) / count

    return measure


def row(benchmark: str, ours: str, figure: Figure, times: dict[str, list[float]]) -> Row:
    """Return the row of one figure: the median over rounds of theirs / ours, and its range."""
    missing = "; ".join(f"{name}: {reason}" for name, reason in figure.absent)
    present = [name for name in figure.sides if name in times]
    mine = median(times[ours]) if ours in times else None
    if mine is None or not present:
        note = missing or f"{ours} was not measured"
        return Row(benchmark, figure.against, None, None, None, figure.at_least, mine, None, note)
    best = min(present, key=lambda name: median(times[name]))
    theirs = [figure.scale * t for t in times[best]]
    ratios = [b / a for a, b in zip(times[ours], theirs, strict=True)]
    taken = best if len(figure.sides) > 1 else ""
    return Row(
        benchmark,
        figure.against,
        median(ratios),
        min(ratios),
        max(ratios),
        figure.at_least,
        mine,
        median(theirs),
        "; ".join(part for part in (taken, missing) if part),
    )


def parser(doc: str) -> argparse.ArgumentParser:
    """Return the options every benchmark has."""
    options = argparse.ArgumentParser(description=doc.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options.add_argument(
        "--json", action="store_true", help="results on stdout, the table on stderr"
    )
    return options


def report(
    title: str, rows: Sequence[Row], times: dict[str, list[float]], *, as_json: bool
) -> None:
    """Print the table of rows and of every side's median; with `as_json` everything as JSON too."""
    out = sys.stderr if as_json else sys.stdout
    print(f"\n{title} ({platform.machine()}, {len(cores())} of {os.cpu_count()} cores)", file=out)
    if LOAD > QUIET:
        print(f"NOT QUIET: load {LOAD:.1f} before the start; do not quote these ratios", file=out)
    head = ("benchmark", "against", "ratio", "range", "at least", "", "ours", "theirs", "note")
    _table(out, [head, *(_cells(line) for line in rows)])
    print(file=out)
    _table(out, [("side", "median"), *((name, _time(median(t))) for name, t in times.items())])
    if as_json:
        print(json.dumps(_document(title, rows, times), indent=1))


def cores() -> list[int]:
    """Return the two cores the figures are asked for on (fewer where there are fewer).

    Empty where the system cannot hold a process to given cores.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))[:2]


def hold_to(chosen: Iterable[int]) -> None:
    """Keep this process and those it starts on the chosen cores, where the system can."""
    chosen = set(chosen)
    if chosen:
        os.sched_setaffinity(0, chosen)


def _cells(line: Row) -> tuple[str, ...]:
    ratio = "-" if line.ratio is None else f"{line.ratio:.2f}x"
    spread = "-" if line.low is None else f"{line.low:.2f}-{line.high:.2f}"
    asked = "-" if line.at_least is None else f"{line.at_least:g}x"
    met = {True: "met", False: "MISSED", None: ""}[line.met]
    ours, theirs = _time(line.ours), _time(line.theirs)
    return line.benchmark, line.against, ratio, spread, asked, met, ours, theirs, line.note


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _table(out, lines: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for cells in lines:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print("  ".join(padded).rstrip(), file=out)


def _document(title: str, rows: Sequence[Row], times: dict[str, list[float]]) -> dict:
    return {
        "benchmark": title,
        "machine": {
            "processor": platform.machine(),
            "cores": len(cores()),
            "of": os.cpu_count(),
            "load_before": LOAD,
        },
        "versions": {"python": platform.python_version()} | _versions(),
        "rows": [asdict(line) | {"met": line.met} for line in rows],
        "seconds": times,
    }


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
