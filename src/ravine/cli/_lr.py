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
from ravine.core.errors import SettingError
from ravine.reports.learning_rate import LearningRates
from ravine.studies.learning_rate import SEEDS, RateOrder, RateTest, run_rate_test
from ravine.studies.learning_rate_suggestion import Interval


def run_lr(request: Request, plot: Path | None = None) -> None:
    """Run the command.

    Args:
        request: The options, as those of ``ravine compare``; its ``trials``, ``confirm`` and
            ``out`` are not read.
        plot: File for the figure.

    Raises:
        RavineError: An option is wrong.
    """
    order, errors = _order(request), Console(stderr=True, highlight=False)
    _check_plot(plot)
    with errors.status(f"testing {len(order.optimizers)} optimizers on {order.problem.name}"):
        test = run_rate_test(order, lambda text: errors.print(text, markup=False))
    if plot is not None:
        LearningRates(test).plot().write_html(plot)
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


def _check_plot(path: Path | None) -> None:
    if path is None:
        return
    if path.suffix != ".html":
        raise SettingError(f"--plot must be a file ending in .html, got {path}")
    if not path.parent.is_dir():
        raise SettingError(f"--plot: folder {path.parent} does not exist; make it first")


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
