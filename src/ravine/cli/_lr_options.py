"""Options of ``ravine lr``. Nothing heavy is imported before the command runs."""

from pathlib import Path
from typing import Annotated

import typer

from ravine.cli._options import (
    Batch,
    Data,
    Loss,
    Model,
    NamedProblem,
    Optimizers,
    Rules,
    Seed,
    Settings,
)

LR = (
    "Suggest a learning rate for each optimizer, with an interval.\n\n"
    "All rates train side by side over several seeds for a short while, and the classic ramp, whose"
    " rate grows at every step, runs beside them. It is a place to start from: ravine compare"
    " tunes over the whole budget."
)


def lr(
    context: typer.Context,
    data: Data = None,
    model: Model = None,
    loss: Loss = None,
    problem: NamedProblem = None,
    optimizers: Optimizers = None,
    rules: Rules = None,
    settings: Settings = None,
    rates: Annotated[
        str | None,
        typer.Option("--lr", metavar="X,Y,...", help="Learning rates to try, at least 3."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="SCHEDULE", help="As in compare.", show_default="constant"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Seeds, at least 2.", show_default="5")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Passes over the training data.", show_default="a tenth"),
    ] = None,
    batch: Batch = None,
    seed: Seed = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the figure.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Suggest learning rates; `LR` is the help."""
    from ravine.cli._compare import Request  # noqa: PLC0415 - takes seconds
    from ravine.cli._lr import run_lr  # noqa: PLC0415 - takes seconds

    request = Request(
        data=data,
        model=model,
        loss=loss,
        problem=problem,
        optimizers=optimizers,
        rules=rules,
        settings=settings or [],
        lr=rates,
        schedule=schedule,
        seeds=seeds,
        epochs=epochs,
        batch=batch,
        seed=seed,
        as_json=as_json,
        command=context.obj,
    )
    run_lr(request, plot)
