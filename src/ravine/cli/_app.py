"""Commands and their options. Nothing heavy is imported before a command runs."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ravine.core.errors import RavineError

_COMPARE = (
    "Compare optimizers fairly and say which is best, with the evidence.\n\n"
    "Every optimizer is tuned with the same number of trials (tune), its best settings meet on"
    " fresh seeds (select), and the chosen one is judged on the test set with further seeds"
    " (confirm). The verdict comes from paired differences between seeds."
)
# A paragraph per line: two together would be joined.
_EXAMPLES = "\n\n".join(
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
_VERIFY = (
    "Check rules against stored trajectories and against every optimizer library installed.\n\n"
    "Formula, kernel and optimizer class of each rule must give the stored iterates, which come"
    " from independent programs. Each library must agree, or differ by what docs/conventions.md"
    " states. Anything else is shown, and the exit status is 1."
)
_CHECK = (
    "Check the gradients of a model, its loss and a batch, and name the cause of what is wrong.\n\n"
    "Every parameter tensor and the inputs are tried along random directions; where one disagrees,"
    " entries are tried until the wrong ones are found. The exit status is 1 where a gradient is"
    " wrong, 0 where all agree."
)
_LR = (
    "Suggest a learning rate for each optimizer, with an interval.\n\n"
    "All rates train side by side over several seeds for a short while, and the classic ramp, whose"
    " rate grows at every step, runs beside them. It is a place to start from: ravine compare"
    " tunes over the whole budget."
)
_PROBLEM, _COMPETITORS = "What is trained", "Who competes"
_BUDGET, _OUTPUT = "Budget", "Output"

app = typer.Typer(
    name="ravine",
    help="Which optimizer, at which settings, and what is the evidence?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # an unexpected error shows Python's own traceback
    rich_markup_mode="rich",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: What follows ``ravine``; the process's own when None.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = app(args=typed, standalone_mode=False, obj=shlex.join(["ravine", *typed]))
    except RavineError as error:
        # The notes say where what had finished is stored.
        sys.exit(_fail("; ".join([str(error), *getattr(error, "__notes__", [])])))
    except Exception as error:
        # The command-line parser's errors: typer carries one of several copies of click.
        if not hasattr(error, "format_message"):
            raise
        sys.exit(_fail(error.format_message()))
    sys.exit(status or 0)


def _fail(message: str) -> int:
    """Print an error in one red line and return the exit status."""
    typer.secho(f"error: {message}", fg="red", err=True)
    return 2


def _print_version(wanted: bool) -> None:
    if wanted:
        from ravine import __version__  # noqa: PLC0415 - only here

        typer.echo(f"ravine {__version__}")
        raise typer.Exit


@app.callback()
def _ravine(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Which optimizer, at which settings, and what is the evidence?"""


@app.command(help=_COMPARE, epilog=_EXAMPLES)
def compare(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="digits|PATH",
            help="Images: [bold]digits[/bold] (scikit-learn's 1,797 digits, offline), a folder in"
            " MNIST's IDX format (gzipped or not), or an .npz with x_train, y_train, x_test and"
            " y_test.",
            show_default="digits",
            rich_help_panel=_PROBLEM,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="linear|mlp|MODEL",
            help="A built-in model, such as mlp:128,64:tanh:xavier, or your own as"
            " package.module:factory or path/file.py:factory, called with the input shape and the"
            " number of classes.",
            show_default="mlp",
            rich_help_panel=_PROBLEM,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="softmax|hinge",
            help="Loss: softmax cross-entropy or multiclass hinge.",
            show_default="softmax",
            rich_help_panel=_PROBLEM,
        ),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A named problem that brings its data, model, loss and defaults, such as"
            " quadratic_deep.",
            rich_help_panel=_PROBLEM,
        ),
    ] = None,
    optimizers: Annotated[
        str | None,
        typer.Option(
            metavar="sgd,momentum,...",
            help="Optimizers, separated by commas. adam@lecture names a convention other than"
            " PyTorch's; [bold]all[/bold] is every rule.",
            show_default="sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw",
            rich_help_panel=_COMPETITORS,
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.py",
            help="Python file with rules of your own (@ravine.rule). They compete beside the"
            " others, or where --optimizers names them.",
            rich_help_panel=_COMPETITORS,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Fix a hyper-parameter, by the formula's name or PyTorch's, for every optimizer"
            " that has it; adam.beta1=0.95 for one. Repeatable.",
            rich_help_panel=_COMPETITORS,
        ),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,...",
            help="Learning rates to try, the same for all. Otherwise: a log grid from 1e-4 to 10,"
            " extended for everyone when somebody's best lies at its border.",
            rich_help_panel=_COMPETITORS,
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
            rich_help_panel=_COMPETITORS,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Learning rates on the grid, at least 2. The same number for every optimizer.",
            show_default="12",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Fresh seeds that confirm the chosen settings; more of them decide smaller"
            " differences. With --no-confirm: seeds of tuning.",
            show_default="20; with --no-confirm 3",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Passes over the training data.",
            show_default="the problem's",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N|full",
            help="Samples per step; 1 is stochastic descent, full is batch descent.",
            show_default="the problem's",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm/--no-confirm",
            help="Whether to select and confirm on fresh seeds. Without, the study ends after"
            " tuning, where the best score is partly luck.",
            rich_help_panel=_BUDGET,
        ),
    ] = True,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Base seed: the same command and seed give the same numbers.",
            rich_help_panel=_BUDGET,
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="New folder for study.json, trials.parquet, curves.parquet and report.html.",
            show_default="ravine-studies/<problem>-<time>",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print study.json on standard output and all else on standard error.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
) -> None:
    """Run a comparison; `_COMPARE` is the help."""
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


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a stored study.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Page to write.", show_default="FOLDER/report.html"),
    ] = None,
) -> None:
    """Write the report of a stored study again; nothing is trained."""
    from ravine.reports import write_report  # noqa: PLC0415 - takes a second

    typer.echo(write_report(folder, out))


@app.command(help=_VERIFY)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Built-in rules, such as adam, lion or adam@lecture, and those of --rules.",
            show_default="all",
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.py",
            help="Python file with rules of your own: each is put through the contract that the"
            " built-in ones keep. Without names, only these are verified.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of the table.")
    ] = False,
) -> None:
    """Verify rules; `_VERIFY` is the help."""
    from ravine.cli._verify import run_verify  # noqa: PLC0415 - takes seconds

    raise typer.Exit(run_verify(names or [], rules=rules, as_json=as_json))


@app.command(help=_CHECK)
def check(
    data: Annotated[
        str | None,
        typer.Option(
            metavar="digits|PATH",
            help="As in compare.",
            show_default="digits",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="linear|mlp|MODEL",
            help="A built-in model or your own, as in compare: path/file.py:factory.",
            show_default="mlp",
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(metavar="softmax|hinge", help="As in compare.", show_default="softmax"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every entry, not only random directions.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="Compare so many entries of each tensor.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(metavar="N", help="Rows of the batch.", show_default="16")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of weights, batch and directions.")] = 0,
    curvature: Annotated[
        bool,
        typer.Option(
            "--curvature",
            help="Also the loss's top curvatures at the initial weights, and the largest rates at"
            " which gradient descent and momentum are stable there.",
        ),
    ] = False,
    graph: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg",
            help="Draw the computation graph, with values and gradients on its edges.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check gradients; `_CHECK` is the help."""
    from ravine.cli._check import CheckRequest, run_check  # noqa: PLC0415 - takes seconds

    request = CheckRequest(data, model, loss, full, sample, batch, seed, curvature, graph, as_json)
    raise typer.Exit(run_check(request))


@app.command(help=_LR)
def lr(
    context: typer.Context,
    data: Annotated[str | None, typer.Option(metavar="digits|PATH", help="As in compare.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="linear|mlp|MODEL", help="As in compare.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(metavar="softmax|hinge", help="As in compare.")
    ] = None,
    problem: Annotated[str | None, typer.Option(metavar="NAME", help="As in compare.")] = None,
    optimizers: Annotated[
        str | None, typer.Option(metavar="sgd,momentum,...", help="As in compare.")
    ] = None,
    rules: Annotated[Path | None, typer.Option(metavar="FILE.py", help="As in compare.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="As in compare.")
    ] = None,
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
    batch: Annotated[str | None, typer.Option(metavar="N|full", help="As in compare.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Base seed.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the figure.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Suggest learning rates; `_LR` is the help."""
    from ravine.cli._compare import Request  # noqa: PLC0415 - takes seconds
    from ravine.cli._lr import run_lr  # noqa: PLC0415

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
        trials=None,
        seeds=seeds,
        epochs=epochs,
        batch=batch,
        confirm=True,
        seed=seed,
        out=None,
        as_json=as_json,
        command=context.obj,
    )
    run_lr(request, plot)
