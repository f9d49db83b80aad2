"""`ravine check`: from typed options to a gradient check, and from its report to the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ravine.core.errors import SettingError
from ravine.gradients import (
    Listener,
    Report,
    check,
    curvature_report,
    model_graph,
    objective,
)
from ravine.problems import Problem

DEFAULT_ROWS = 16
MOMENTUM = 0.9  # for which the largest stable rate is told


@dataclass(frozen=True)
class CheckRequest:
    """The options of ``ravine check`` as typed, None where left out."""

    data: str | None
    model: str | None
    loss: str | None
    full: bool
    sample: int | None
    batch: int | None
    seed: int
    curvature: bool
    graph: Path | None
    as_json: bool


def run_check(request: CheckRequest) -> int:
    """Run the command and return its exit status: 0 where gradients agree, 1 where not.

    Raises:
        RavineError: An option is wrong, or the model cannot be checked; exit status 2.
    """
    problem = Problem(
        request.model or "mlp", request.data or "digits", loss=request.loss or "softmax"
    )
    if request.graph is not None and request.graph.suffix != ".svg":
        raise SettingError(f"--graph must be a file ending in .svg, got {request.graph}")
    if request.as_json and request.curvature:
        raise SettingError("--json prints the check alone; leave out --curvature")
    batch = training_batch(problem, request.batch, request.seed)
    errors = Console(stderr=True, highlight=False)
    with _watch(errors) as listener:
        report = check(
            problem.build(request.seed),
            problem.loss,
            batch,
            full=request.full,
            sample=request.sample,
            seed=request.seed,
            listener=listener,
        )
    if request.as_json:
        typer.echo(report.json())
    else:
        show(report, Console(highlight=False))
    if request.curvature:
        typer.echo(_curvature(problem, batch, request.seed))
    if request.graph is not None:
        model_graph(problem.build(request.seed), problem.loss, batch).save(request.graph)
        errors.print(f"graph: {request.graph}", markup=False, soft_wrap=True)
    return 0 if report.ok else 1


def _curvature(problem: Problem, batch: tuple[torch.Tensor, torch.Tensor], seed: int) -> str:
    """Return what the curvature at a seed's initial weights says of rates, as text."""
    # The loss as torch's own class, where it is that: curvlinops knows it.
    loss = torch.nn.CrossEntropyLoss() if problem.loss_name == "softmax" else problem.loss
    # In evaluation, since dropout and a batch's statistics would make another loss of each call.
    at_start = objective(problem.build(seed).eval(), loss, batch)
    return curvature_report(at_start, momentum=MOMENTUM).text()


def training_batch(
    problem: Problem, rows: int | None, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first rows of a seed's first epoch, normalised, and their targets.

    Raises:
        SettingError: There are fewer training rows, or `rows` is not at least 1.
    """
    split = problem.split(seed)
    count = min(DEFAULT_ROWS, len(split.train)) if rows is None else rows
    if not 1 <= count <= len(split.train):
        raise SettingError(
            f"--batch must be a whole number from 1 to {len(split.train)}, the training rows, got"
            f" {count}"
        )
    chosen = torch.as_tensor(problem.order(seed, 0, "full").reshape(-1)[:count])
    shift, scale = split.shift.float(), split.scale.float()
    y = problem.data.y[chosen]
    x = (problem.data.x[chosen].float() - shift) * scale
    return x, y.float() if y.is_floating_point() else y


def show(report: Report, console: Console) -> None:
    """Print a report, errors in red."""
    first, *rest = str(report).splitlines()
    console.print(first, style="bold green" if report.ok else "bold red", markup=False)
    for line in rest:
        style = "red" if line.startswith("ERROR") else None
        console.print(line, style=style, markup=False, soft_wrap=True)


@contextmanager
def _watch(console: Console) -> Iterator[Listener]:
    """Give a listener that draws a bar while a block runs; it draws nothing without a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield _Bar(bar)


class _Bar:
    """A listener that keeps one bar up to date; notices are part of the report."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("random directions", total=None)

    def progressed(self, what: str, done: int, total: int) -> None:
        self._bar.update(self._task, description=what, completed=done, total=total)

    def noticed(self, text: str) -> None:
        pass
