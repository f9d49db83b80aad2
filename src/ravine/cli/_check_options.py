"""Options of ``ravine verify`` and ``ravine check``. Nothing heavy is imported before they run."""

from pathlib import Path
from typing import Annotated

import typer

from ravine.cli._options import PROBLEM, Data, Model, Seed

VERIFY = (
    "Check rules against stored trajectories and against every optimizer library installed.\n\n"
    "Formula, kernel and optimizer class of each rule must give the stored iterates, which come"
    " from independent programs. Each library must agree, or differ by what docs/conventions.md"
    " states. Anything else is shown, and the exit status is 1."
)
CHECK = (
    "Check the gradients of a model, its loss and a batch, and name the cause of what is wrong.\n\n"
    "Every parameter tensor and the inputs are tried along random directions; where one disagrees,"
    " entries are tried until the wrong ones are found. Or check an expression: every derivative is"
    " shown. The exit status is 1 where an error was found, 2 on bad input, else 0: also where"
    " rounding or randomness left nothing to check, which the first line says."
)
EXAMPLES = "\n\n".join(
    (
        "[bold]Examples[/bold]",
        "[dim]Every entry of your model's gradients:[/dim]",
        "ravine check --model my_models.py:make_cnn --full",
        "[dim]An expression, its derivatives and its graph:[/dim]",
        'ravine check --expression "(x + y) * z" --at x=-2,y=5,z=-4 --graph graph.svg',
    )
)
EXPRESSION = "An expression instead of a model"
Loss = Annotated[
    str | None,
    typer.Option(
        metavar="LOSS",
        help="softmax, hinge, package.module:function or path/to/file.py:function, called as"
        " loss(outputs, targets).",
        show_default="softmax",
        rich_help_panel=PROBLEM,
    ),
]


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
    """Verify rules; `VERIFY` is the help."""
    from ravine.cli._verify import run_verify  # noqa: PLC0415 - takes seconds

    raise typer.Exit(run_verify(names or [], rules=rules, as_json=as_json))


def check(
    data: Data = None,
    model: Model = None,
    loss: Loss = None,
    expression: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Numbers, names, + - * / ** and abs, cos, exp, log, max, min, relu, sigmoid, sin,"
            " sqrt, tan, tanh.",
            rich_help_panel=EXPRESSION,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="X=VALUE,...",
            help="Value of each of its variables.",
            rich_help_panel=EXPRESSION,
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every entry, not only random directions.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="Compare so many entries of each tensor.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Rows of the batch: the first training rows of the seed's first epoch.",
            show_default="16",
        ),
    ] = None,
    seed: Seed = 0,
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
    """Check gradients; `CHECK` is the help."""
    if expression is not None or at is not None:
        from ravine.cli import _expression as command  # noqa: PLC0415 - takes seconds

        of_models = {"--data": data, "--model": model, "--loss": loss, "--sample": sample}
        of_models |= {"--batch": batch, "--full": full or None, "--curvature": curvature or None}
        of_models |= {"--seed": seed or None}
        others = tuple(name for name, value in of_models.items() if value is not None)
        asked = command.ExpressionRequest(expression, at, others, graph, as_json)
        raise typer.Exit(command.run_expression(asked))
    from ravine.cli._check import CheckRequest, run_check  # noqa: PLC0415 - takes seconds

    request = CheckRequest(data, model, loss, full, sample, batch, seed, curvature, graph, as_json)
    raise typer.Exit(run_check(request))
