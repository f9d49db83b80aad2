"""`ravine check --expression`: derivatives of a typed expression, and its graph."""

import json
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from ravine.cli._parse import file_to_write, point
from ravine.core.errors import SettingError
from ravine.gradients import Derivative, ExpressionCheck, check_expression


@dataclass(frozen=True)
class ExpressionRequest:
    """The options of ``ravine check --expression`` as typed.

    Args:
        text: The expression.
        at: Values of its variables.
        others: Options given beside it that belong to the check of a model.
        graph: File for the graph.
        as_json: Whether to print JSON.
    """

    text: str | None
    at: str | None
    others: tuple[str, ...]
    graph: Path | None
    as_json: bool


def run_expression(request: ExpressionRequest) -> int:
    """Run the command and return its exit status: 0 where derivatives agree, 1 where not.

    Raises:
        RavineError: An option is wrong, or the expression cannot be evaluated; exit status 2.
    """
    if request.text is None:
        raise SettingError('--at gives values to --expression; give both, as in "x*y" and x=2,y=3')
    if request.others:
        raise SettingError(
            f"--expression is checked instead of a model; leave out {' and '.join(request.others)}"
        )
    if request.at is None:
        raise SettingError("--expression needs values of its variables: --at x=-2,y=5")
    if request.graph is not None:
        file_to_write("--graph", request.graph, ".svg")
    found = check_expression(request.text, point("--at", request.at))
    if request.as_json:
        typer.echo(json.dumps(found.document(), indent=1, allow_nan=False))
    else:
        _show(found, Console(highlight=False))
    if request.graph is not None:
        found.graph().save(request.graph)
        Console(stderr=True, highlight=False).print(
            f"graph: {request.graph}", markup=False, soft_wrap=True
        )
    return 0 if found.ok else 1


def _show(found: ExpressionCheck, console: Console) -> None:
    verdict = "gradients agree" if found.ok else "WRONG GRADIENTS"
    console.print(
        f"{verdict}: {found.expression.text} = {found.value:.6g}",
        style="bold green" if found.ok else "bold red",
        markup=False,
        soft_wrap=True,
    )
    heads = ("variable", "value", "analytic", "numeric", "relative error")
    table = Table(*heads, box=None, pad_edge=False)
    for one in found.derivatives:
        table.add_row(*_cells(one), style=None if one.ok else "red")
    console.print(table)
    for one in found.derivatives:
        if one.note:
            mark = "note" if one.ok else "ERROR"
            console.print(f"{mark} {one.variable}: {one.note}", markup=False, soft_wrap=True)


def _cells(one: Derivative) -> tuple[str, ...]:
    numeric = f"{one.numeric:.6g} ± {one.error:.0e}"
    return (
        *(one.variable, f"{one.value:g}", f"{one.analytic:.6g}", numeric),
        f"{one.relative_error:.1e}",
    )
