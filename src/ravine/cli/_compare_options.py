"""Options of ``ravine compare``. Nothing heavy is imported before the command runs."""

from pathlib import Path
from typing import Annotated

import typer

from ravine.cli._options import (
    BUDGET,
    COMPETITORS,
    OUTPUT,
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

COMPARE = (
    "Compare optimizers fairly and say which is best, with the evidence.\n\n"
    "Every optimizer is tuned with the same number of trials (tune), its best settings meet on"
    " fresh seeds (select), and the chosen one is judged on the test set with further seeds"
    " (confirm). The verdict comes from paired differences between seeds."
)
# A paragraph per line: two together would be joined.
EXAMPLES = "\n\n".join(
    (
        "[bold]Examples[/bold]",
        "[dim]Eight optimizers on scikit-learn's digits, from tuning to verdict:[/dim]",
        "ravine compare",
        "[dim]Your data and your model:[/dim]",
        "ravine compare --data photos.npz --model my_models.py:make_cnn --epochs 20",
        "[dim]Two optimizers with settings of your own:[/dim]",
        "ravine compare --optimizers momentum,adam --set adam.beta1=0.95",
        "[dim]Your update rules against the built-in ones, in less time:[/dim]",
        "ravine compare --rules my_rules.py --trials 6 --seeds 10",
        "[dim]A known problem at a known rate:[/dim]",
        "ravine compare --problem quadratic_deep --lr 0.0158 --no-confirm",
    )
)


def compare(
    context: typer.Context,
    data: Data = None,
    model: Model = None,
    loss: Loss = None,
    problem: NamedProblem = None,
    optimizers: Optimizers = None,
    rules: Rules = None,
    settings: Settings = None,
    lr: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,...",
            help="Learning rates to try, the same for all. Otherwise: a log grid from 1e-4 to 10,"
            " extended for everyone when somebody's best lies at its border.",
            rich_help_panel=COMPETITORS,
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:ARGUMENT...]",
            help="How the learning rate goes over training: cosine, linear, constant, step:0.3:0.1,"
            " onecycle, wsd:0.1:0.2, warmup:0.1+cosine, ... Fractions are shares of all steps,"
            " integers count them. Verdicts at a constant rate rarely carry over to training with"
            " a schedule.",
            show_default="cosine",
            rich_help_panel=COMPETITORS,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Learning rates on the grid, at least 2. The same number for every optimizer.",
            show_default="12",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Fresh seeds that confirm the chosen settings; more of them decide smaller"
            " differences. With --no-confirm: seeds of tuning.",
            show_default="20; with --no-confirm 3",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Passes over the training data.",
            show_default="the problem's",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    batch: Batch = None,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm/--no-confirm",
            help="Whether to select and confirm on fresh seeds. Without, the study ends after"
            " tuning, where the best score is partly luck.",
            rich_help_panel=BUDGET,
        ),
    ] = True,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="New folder for study.json, trials.parquet, curves.parquet and report.html.",
            show_default="ravine-studies/<problem>-<time>",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print study.json on standard output and all else on standard error.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """Run a comparison; `COMPARE` is the help."""
    from ravine.cli._compare import Request, run_compare  # noqa: PLC0415 - takes seconds

    run_compare(
        Request(
            data=data,
            model=model,
            loss=loss,
            problem=problem,
            optimizers=optimizers,
            rules=rules,
            settings=settings or [],
            lr=lr,
            schedule=schedule,
            trials=trials,
            seeds=seeds,
            epochs=epochs,
            batch=batch,
            confirm=confirm,
            seed=seed,
            out=out,
            as_json=as_json,
            command=context.obj,
        )
    )
