"""The public comparison: `ravine.compare`, and the `ravine.Study` it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ravine.problems import Problem
from ravine.reports import write_report
from ravine.rules import Rule
from ravine.schedules import Schedule
from ravine.studies.contestants import DEFAULT_OPTIMIZERS
from ravine.studies.listening import Listener
from ravine.studies.order import Order
from ravine.studies.storage import STUDY, default_folder, read_curves, read_study, read_trials
from ravine.studies.study import run_study


@dataclass(frozen=True)
class Study:
    """A stored study; everything is read from its folder.

    Args:
        folder: Where ``study.json``, ``trials.parquet`` and ``curves.parquet`` lie.
    """

    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> "Study":
        """Return the study stored in a folder.

        Raises:
            SettingError: When the folder holds none.
        """
        study = cls(Path(folder))
        _ = study.json  # read, so that a wrong folder is an error here
        return study

    @cached_property
    def json(self) -> dict[str, Any]:
        """The content of ``study.json``; numbers that are not finite are None."""
        return read_study(self.folder)

    @property
    def verdict(self) -> str | None:
        """What was shown, in a sentence; None when the study did not finish."""
        return self.json["verdict"]

    @property
    def winner(self) -> dict[str, Any] | None:
        """The best optimizer: ``optimizer``, ``lr`` and ``code``, a PyTorch program; or None."""
        return self.json["winner"]

    def frame(self) -> pd.DataFrame:
        """Return the trials, one row per training."""
        return read_trials(self.folder)

    def curves(self) -> pd.DataFrame:
        """Return the curves, one row per training and evaluation point."""
        return read_curves(self.folder)

    def ranking(self) -> pd.DataFrame:
        """Return one row per optimizer, best first, with its confirmed score and interval."""
        return pd.DataFrame(self.json["ranking"])

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report as one HTML file and return its path.

        Args:
            path: The file; ``report.html`` in the study's folder when None.
        """
        return write_report(self.folder, path)


def compare(
    problem: Problem | None = None,
    optimizers: Sequence[str | Rule] = DEFAULT_OPTIMIZERS,
    *,
    rates: Sequence[float] | None = None,
    trials: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    batch: int | str | None = None,
    schedule: str | Schedule | None = None,
    settings: Mapping[str, float] | None = None,
    confirm: bool = True,
    seed: int = 0,
    out: str | Path | None = None,
    listener: Listener | None = None,
) -> Study:
    """Compare optimizers fairly and return the study, with its verdict.

    Every optimizer is tuned with the same number of trials (tune), its best settings meet on
    fresh seeds (select), and the chosen one is judged on the test set with further seeds
    (confirm).

    Args:
        problem: Model, data, loss and score; an MLP on scikit-learn's digits when None.
        optimizers: Names such as ``"adam"`` or ``"adam@lecture"``, or rules of your own.
        rates: Learning rates to try, > 0; a log grid from 1e-4 to 10 when None, extended for all
            when a best one lies at its border.
        trials: Number of rates on the grid, >= 2; 12 when None.
        seeds: Seeds of the last phase, >= 1: 20 that confirm, or 3 of tuning without confirm.
        epochs: Passes over the training data, >= 1; the problem's when None.
        batch: Samples per step or ``"full"``; the problem's when None.
        schedule: As `ravine.schedules.get_schedule` reads it, such as ``"cosine"`` or
            ``"warmup:0.1+cosine"``; the problem's when None.
        settings: Fixed hyper-parameters by the formula's name or torch's, for every optimizer
            that has them; ``"adam.beta1"`` for one.
        confirm: Whether to select and confirm; without, test is evaluated after tuning.
        seed: Base seed, >= 0; the same one gives the same numbers.
        out: New folder for the results; ``ravine-studies/<problem>-<time>`` when None.
        listener: Told about progress.

    Raises:
        RavineError: When a setting, the data or the model is wrong.
        KeyboardInterrupt: When stopped; what had finished is stored and reported.

    Example::

        study = ravine.compare(ravine.Problem("mlp", "digits"), ["sgd", "adam"], trials=6)
        print(study.verdict)
        study.report("report.html")
    """
    order = Order(
        problem=Problem("mlp", "digits") if problem is None else problem,
        optimizers=optimizers,
        settings=settings or {},
        rates=rates,
        trials=trials,
        seeds=seeds,
        epochs=epochs,
        batch=batch,
        schedule=schedule,
        confirm=confirm,
        seed=seed,
        command="ravine.compare(...)",
    )
    return run(order, None if out is None else Path(out), listener)


def run(order: Order, out: Path | None = None, listener: Listener | None = None) -> Study:
    """Run a study, write its report and return it; see `compare`."""
    folder = default_folder(order.problem.name) if out is None else out
    is_new = not (folder / STUDY).exists()  # else it is refused, and stays as it is
    try:
        run_study(order, folder, listener)
    except (KeyboardInterrupt, Exception) as stop:
        if is_new and (folder / STUDY).exists():
            stop.add_note(f"what had finished is stored in {write_report(folder).parent}")
        raise
    write_report(folder)
    return Study.load(folder)
