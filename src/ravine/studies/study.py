"""One study: from settings to a folder with its results."""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ravine.core.errors import first_line
from ravine.core.machine import machine, versions
from ravine.kernels import latex
from ravine.population import Population
from ravine.studies.contestants import Contestant, left_out
from ravine.studies.ledger import Ledger
from ravine.studies.listening import Estimate, Listener, Silent
from ravine.studies.order import Checked, Order, check
from ravine.studies.protocol import Chosen, Extension, run_protocol
from ravine.studies.storage import FORMAT, curves_frame, refuse_used, trials_frame
from ravine.studies.summary import Evidence, summarise
from ravine.studies.timing import seconds_per_step
from ravine.studies.verdict import Scope
from ravine.studies.winner import Recipe, winner_code

CONFIDENCE = 0.95


def run_study(
    order: Order,
    folder: Path,
    listener: Listener | None = None,
    make_population: Callable[..., Population] = Population,
) -> None:
    """Run a study and store it.

    Args:
        order: What to compare.
        folder: Where to store it; made when the first result is written.
        listener: Told how long it will take and how far it is.
        make_population: Makes what trains the members; takes `Population`'s arguments.

    Raises:
        SettingError: When a setting is wrong; nothing is stored then.
        KeyboardInterrupt: When stopped by the user; what had finished is stored.
        Exception: What ended the study, such as a worker's error; the same is stored.
    """
    refuse_used(folder)
    listener = listener or Silent()
    notices = _Notices(listener)
    checked = check(order)
    for sentence in [*left_out(order.optimizers), *_unscheduled(checked)]:
        notices(sentence)
    population = make_population(
        order.problem,
        batch=checked.batch,
        epochs=checked.epochs,
        schedule=checked.schedule,
        states=max(len(one.rule.state) for one in checked.competing),
        largest=checked.plan.largest(len(checked.competing)),
        notice=notices,
    )
    estimate = _estimate(checked, population)
    listener.estimated(estimate)
    ledger = Ledger(
        folder,
        _first_page(checked, notices.texts),
        population,
        direction=order.problem.direction,
        last=checked.last,
        planned=estimate.members,
        steps=checked.steps,
        listener=listener,
    )
    try:
        ledger.save()
        results = _results(checked, ledger)
    except KeyboardInterrupt:
        ledger.close("stopped", {})
        raise
    except Exception as error:
        ledger.close("failed", {"error": first_line(error)})
        raise
    ledger.close("complete", results)


class _Notices:
    """Passes notices on and keeps each once."""

    def __init__(self, listener: Listener) -> None:
        self.texts: list[str] = []
        self._listener = listener

    def __call__(self, text: str) -> None:
        if text not in self.texts:
            self.texts.append(text)
            self._listener.noticed(text)


def _unscheduled(checked: Checked) -> list[str]:
    """Say whose rate the schedule leaves alone."""
    names = [one.name for one in checked.competing if not one.rule.scheduled]
    if not names or checked.schedule == "constant":
        return []
    return [f"the {checked.schedule} schedule leaves {', '.join(names)} alone: constant by design"]


def _estimate(checked: Checked, population: Population) -> Estimate:
    plan, optimizers = checked.plan, len(checked.competing)
    return Estimate(
        members=plan.members(optimizers),
        extra=plan.extra(optimizers),
        steps=checked.steps,
        seconds_per_step=population.time_step([one.rule for one in checked.competing]),
        shorter=_shorter(checked),
    )


def _shorter(checked: Checked) -> tuple[str, ...]:
    """Return the settings that would shorten a study if they were less."""
    plan = checked.plan
    could_be_less = {
        "optimizers": len(checked.competing) > 1,
        "trials": plan.extends and len(plan.rates) > 2,
        "rates": not plan.extends and len(plan.rates) > 1,
        "seeds": len(checked.last_seeds) > 1,
        "epochs": checked.epochs > 1,
        "confirm": plan.confirms,
    }
    return tuple(name for name, could in could_be_less.items() if could)


def _first_page(checked: Checked, notices: list[str]) -> dict[str, Any]:
    """Return what ``study.json`` holds before the first result."""
    order, plan, problem = checked.order, checked.plan, checked.problem
    described = problem.describe()
    phases = {"tune": plan.tune, "select": plan.select, "confirm": plan.confirm}
    return {
        "format": FORMAT,
        "status": "running",
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": order.command,
        "seconds": 0.0,
        "problem": {k: v for k, v in described.items() if k not in ("score", "direction")},
        "settings": {
            "epochs": checked.epochs,
            "batch": checked.batch,
            "schedule": checked.schedule,
            "trials": len(plan.rates),
            "seeds": {phase: len(seeds) for phase, seeds in phases.items()},
            "lr": plan.rates,
            "confirm": plan.confirms,
            "seed": order.seed,
            "steps": checked.steps,
        },
        "protocol": {
            "phases": phases,
            "confidence": CONFIDENCE,
            "smallest_difference": problem.smallest_difference,
            "correction": "holm",
            "extension": None,
        },
        "score": {"name": problem.score_name, "direction": problem.direction},
        "optimizers": [_described(one) for one in checked.competing],
        **{"ranking": [], "target": None, "pairs": [], "verdict": None, "winner": None},
        "versions": versions(),
        "machine": machine(),
        "notices": notices,
    }


def _described(one: Contestant) -> dict[str, Any]:
    return {
        "name": one.name,
        "convention": one.rule.convention,
        "hypers": one.hypers,
        "latex": latex(one.rule),
        "paper": one.rule.paper,
        "differs": one.rule.differs,
    }


def _results(checked: Checked, ledger: Ledger) -> dict[str, Any]:
    """Run the protocol and return the parts of ``study.json`` it decides."""
    problem = checked.problem
    chosen, extension = run_protocol(
        checked.plan, checked.competing, problem.direction, ledger.train
    )
    evidence = Evidence(
        trials_frame(ledger.trials),
        curves_frame(ledger.curves),
        chosen,
        checked.last,
        problem.direction,
        _alone(checked, chosen),
    )
    found = summarise(evidence, _scope(checked))
    return {
        "protocol": {**ledger.study["protocol"], "extension": _extension(extension)},
        "ranking": found.ranking,
        "target": found.target,
        "pairs": found.pairs,
        "verdict": found.verdict,
        "winner": _winner(checked, found.winner),
    }


def _alone(checked: Checked, chosen: Sequence[Chosen]) -> dict[str, float]:
    seed = checked.last_seeds[0]
    rules = {
        one.contestant.name: (one.contestant.rule, {**one.contestant.hypers, "lr": one.lr})
        for one in chosen
    }
    return seconds_per_step(checked.problem, rules, checked.batch, seed)


def _extension(extension: Extension | None) -> dict[str, Any] | None:
    if extension is None:
        return None
    return {"trials": extension.trials, "reason": extension.reason, "lr": extension.rates}


def _scope(checked: Checked) -> Scope:
    problem = checked.problem
    full = checked.batch == problem.batch_size("full")
    return Scope(
        model=problem.model_name,
        data=problem.data.name,
        epochs=checked.epochs,
        steps=checked.steps,
        batch="full" if full else checked.batch,
        schedule=checked.schedule,
        seeds=len(checked.last_seeds),
        confirmed=checked.plan.confirms,
        score=problem.score_name,
        direction=problem.direction,
        smallest_difference=problem.smallest_difference,
        confidence=CONFIDENCE,
    )


def _winner(checked: Checked, winner: Chosen | None) -> dict[str, Any] | None:
    if winner is None:
        return None
    recipe = Recipe(
        checked.problem,
        checked.order.source or checked.problem.source,
        winner.contestant,
        winner.lr,
        checked.batch,
        checked.epochs,
        checked.schedule,
        checked.last_seeds[0],
    )
    name = winner.contestant.name
    return {"optimizer": name, "lr": winner.lr, "code": winner_code(recipe)}
