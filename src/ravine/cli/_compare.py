"""`ravine compare`: from typed options to a study, and from its results to the terminal."""

from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from ravine._compare import Study, run
from ravine.cli._parse import batch_size, names, numbers, settings
from ravine.cli._results import show_results
from ravine.cli._watch import watch
from ravine.core.errors import SettingError
from ravine.problems import Problem, named_problem
from ravine.rules import Rule, load_rules
from ravine.studies.contestants import DEFAULT_OPTIMIZERS
from ravine.studies.order import Order
from ravine.studies.storage import STUDY, default_folder

INTERRUPTED = 130  # the exit status shells give a command stopped by Ctrl-C


@dataclass(frozen=True)
class Request:
    """The options of ``ravine compare`` as typed, None where left out, and the whole command."""

    data: str | None
    model: str | None
    loss: str | None
    problem: str | None
    optimizers: str | None
    rules: Path | None
    settings: list[str]
    lr: str | None
    schedule: str | None
    seeds: int | None
    epochs: int | None
    batch: str | None
    seed: int
    as_json: bool
    command: str
    trials: int | None = None
    confirm: bool = True
    out: Path | None = None


def run_compare(request: Request) -> None:
    """Run the command."""
    order = order_of(request)
    folder = default_folder(order.problem.name) if request.out is None else request.out
    errors = Console(stderr=True, highlight=False)
    try:
        with watch(errors) as listener:
            study = run(order, folder, listener)
    except KeyboardInterrupt as stop:
        said = ["stopped", *getattr(stop, "__notes__", ["nothing is stored"])]
        errors.print("; ".join(said), markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    _show(study, errors, request.as_json)


def order_of(request: Request) -> Order:
    """Return what to compare; every option is checked here or when the study starts.

    Raises:
        RavineError: When an option is wrong.
    """
    problem, source = _problem(request)
    own = {} if request.rules is None else {rule.name: rule for rule in load_rules(request.rules)}
    return Order(
        problem=problem,
        source=source,
        optimizers=_optimizers(request.optimizers, own),
        own=own,
        settings=settings(request.settings),
        rates=None if request.lr is None else numbers("--lr", request.lr),
        trials=request.trials,
        seeds=request.seeds,
        epochs=request.epochs,
        batch=None if request.batch is None else batch_size(request.batch),
        schedule=request.schedule,
        confirm=request.confirm,
        seed=request.seed,
        command=request.command,
    )


def _problem(request: Request) -> tuple[Problem, str | None]:
    """Return the problem, and the expression that makes a named one again."""
    parts = {"--data": request.data, "--model": request.model, "--loss": request.loss}
    if request.problem is not None:
        given = [option for option, value in parts.items() if value is not None]
        if given:
            raise SettingError(
                f"--problem brings its own data, model and loss; leave out {' and '.join(given)}"
            )
        return named_problem(request.problem), f'named_problem("{request.problem}")'
    model, data = request.model or "mlp", request.data or "digits"
    return Problem(model, data, loss=request.loss or "softmax"), None


def _optimizers(given: str | None, own: dict[str, Rule]) -> list[str]:
    """Return the names that compete: those given, else the built-in ones and the user's."""
    return [*DEFAULT_OPTIMIZERS, *own] if given is None else names("--optimizers", given)


def _show(study: Study, errors: Console, as_json: bool) -> None:
    show_results(study, errors if as_json else Console(highlight=False))
    if as_json:
        typer.echo((study.folder / STUDY).read_text(encoding="utf-8"), nl=False)
