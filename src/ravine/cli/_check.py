"""`ravine check`: from typed options to a gradient check, and from its report to the terminal."""

from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from rich.console import Console

from ravine.cli._named_loss import named_loss
from ravine.cli._parse import file_to_write
from ravine.cli._progress import counted
from ravine.core.errors import ModelError, RavineError, SettingError, first_line
from ravine.gradients import Report, check, curvature_report, model_graph, objective
from ravine.problems import Problem
from ravine.problems._factories import call_factory, find_factory
from ravine.problems._losses import LOSSES

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
    """Run the command and return its exit status: 1 where an error was found, else 0.

    Raises:
        RavineError: An option is wrong, or the model cannot be checked; exit status 2.
    """
    _check_options(request)
    model = request.model or "mlp"
    loss = named_loss(request.loss or "softmax")
    problem = Problem(model, request.data or "digits", loss=loss)
    _refuse_half(model, problem)
    batch = training_batch(problem, request.batch, request.seed)
    errors = Console(stderr=True, highlight=False)
    drawn = _drawn(request.graph, problem, batch, request.seed) if request.graph else None
    with counted(errors, "random directions") as listener:
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
        with errors.status("curvature"):
            text = _curvature(problem, batch, request.seed)
        typer.echo(text)
    if drawn is not None:
        errors.print(f"graph: {drawn}", markup=False, soft_wrap=True)
    return 0 if report.ok else 1


def _check_options(request: CheckRequest) -> None:
    if request.full and request.sample is not None:
        raise SettingError("--full checks every entry; leave out --sample, or --full")
    if request.sample is not None and request.sample < 1:
        raise SettingError(f"--sample must be a whole number >= 1, got {request.sample}")
    if request.graph is not None:
        file_to_write("--graph", request.graph, ".svg")
    if request.as_json and request.curvature:
        raise SettingError("--json prints the check alone; leave out --curvature")


def _drawn(
    path: Path, problem: Problem, batch: tuple[torch.Tensor, torch.Tensor], seed: int
) -> str:
    """Draw the graph, before the check as it may be too large; return where, or why it is not.

    Raises:
        ModelError: There is too much to draw.
    """
    try:
        model_graph(problem.build(seed), problem.loss, batch).save(path)
    except RavineError:
        raise
    except Exception as error:  # a user's backward may raise anything: the check tells of it
        return f"not drawn: {first_line(error)}"
    return str(path)


def _refuse_half(model: str, problem: Problem) -> None:
    """Refuse a factory whose weights a problem would turn into float32 unasked.

    Raises:
        ModelError: A weight is in half precision.
    """
    name, factory = find_factory(model)
    made = call_factory(name, factory, problem.data.input_shape, problem.data.outputs)
    for weight, tensor in made.named_parameters():
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise ModelError(
                f"model {model!r}: {weight} is {tensor.dtype}; differences of half-precision"
                " losses hold no digits of a derivative; let the factory return model.float()"
            )


def _curvature(problem: Problem, batch: tuple[torch.Tensor, torch.Tensor], seed: int) -> str:
    """Return what the curvature at a seed's initial weights says of rates, as text."""
    # The loss as torch's own class, where it is that: curvlinops knows it.
    loss = torch.nn.CrossEntropyLoss() if problem.loss is LOSSES["softmax"] else problem.loss
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
    """Print a report: errors in red, in yellow what could not be decided or checked at all."""
    first, *rest = str(report).splitlines()
    colour = "green" if report.agrees else "yellow" if report.ok else "red"
    console.print(first, style=f"bold {colour}", markup=False)
    for line in rest:
        style = "red" if line.startswith("ERROR") else None
        console.print(line, style=style, markup=False, soft_wrap=True)
