"""`ravine lr`: from typed options to a learning-rate test, and its results to the terminal."""

import json
from math import isfinite
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ravine.cli._compare import Request, order_of
from ravine.cli._parse import file_to_write
from ravine.cli._progress import counted
from ravine.reports._figure_page import write_figure
from ravine.reports.learning_rate import LearningRates
from ravine.studies.learning_rate import SEEDS, RateOrder, RateTest, run_rate_test
from ravine.studies.learning_rate_suggestion import Interval

FIGURE = (
    "Line and whiskers: mean and range over seeds of the loss at the end of a short training. Ring"
    " and bar: the suggested rate and its interval. Dotted: the ramp, whose loss is the training"
    " loss, smoothed, on its way."
)


def run_lr(request: Request, plot: Path | None = None) -> None:
    """Run the command.

    Args:
        request: The options, as those of ``ravine compare``; its ``trials``, ``confirm`` and
            ``out`` are not read.
        plot: File for the figure.

    Raises:
        RavineError: An option is wrong.
    """
    if plot is not None:
        file_to_write("--plot", plot, ".html")
    order, errors = _order(request), Console(stderr=True, highlight=False)
    with counted(errors, "compiling") as listener:
        test = run_rate_test(
            order, lambda text: errors.print(f"notice: {text}", markup=False), listener.progressed
        )
    if plot is not None:
        title = f"Learning rates on {test.problem}"
        write_figure(LearningRates(test).plot(), plot, title, FIGURE)
        errors.print(f"figure: {plot}", markup=False, soft_wrap=True)
    if request.as_json:
        typer.echo(json.dumps(_document(test), indent=2))
    else:
        _show(test, Console(highlight=False))


def _order(request: Request) -> RateOrder:
    asked = order_of(request)
    return RateOrder(
        problem=asked.problem,
        optimizers=asked.optimizers,
        own=asked.own,
        settings=asked.settings,
        rates=asked.rates,
        seeds=SEEDS if asked.seeds is None else asked.seeds,
        epochs=asked.epochs,
        batch=asked.batch,
        schedule=asked.schedule or "constant",
        seed=asked.seed,
    )


def _document(test: RateTest) -> dict[str, Any]:
    rows = LearningRates(test).frame().to_dict("records")
    return {
        "problem": test.problem,
        "epochs": test.epochs,
        "steps": test.steps,
        "loss": test.loss,
        # JSON has no NaN.
        "optimizers": [
            {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in row.items()}
            for row in rows
        ],
    }


def _show(test: RateTest, console: Console) -> None:
    table = Table("optimizer", "suggested lr", "interval", "ramp", "", box=None)
    for found in test.suggestions:
        table.add_row(
            escape(found.optimizer),
            _rate(found.population.lr),
            _ends(found.population),
            _rate(found.ramp.lr),
            found.note,
        )
    console.print(table)
    console.print(
        f"lowest {test.loss} after {test.steps} steps of {test.problem}; a rate in the interval"
        " is not worse there, as far as these seeds tell. Full training may want another.",
        markup=False,
    )


def _rate(lr: float) -> str:
    return f"{lr:.3g}" if isfinite(lr) else "none"


def _ends(found: Interval) -> str:
    return f"{found.low:.2g} to {found.high:.2g}" if isfinite(found.low) else ""
