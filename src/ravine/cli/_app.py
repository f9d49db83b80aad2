"""Commands and their options. Nothing heavy is imported before a command runs."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ravine.cli import _check_options as checking
from ravine.cli._compare_options import COMPARE, EXAMPLES, compare
from ravine.cli._lr_options import LR, lr
from ravine.core.errors import RavineError

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


app.command(help=COMPARE, epilog=EXAMPLES)(compare)


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


app.command(help=checking.VERIFY)(checking.verify)
app.command(help=checking.CHECK, epilog=checking.EXAMPLES)(checking.check)
app.command(help=LR)(lr)
