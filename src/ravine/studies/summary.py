"""From stored trials to ranking, target, pairs and verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ravine.studies.protocol import Chosen, Phase
from ravine.studies.sensitivity import range_width
from ravine.studies.statistics import (
    Direction,
    compare_pairs,
    mean_interval,
    median_steps_to_target,
    sign_of,
)
from ravine.studies.verdict import Ranked, Scope, leader, verdict_sentence


@dataclass(frozen=True, eq=False)
class Evidence:
    """The tables of a study and what was chosen in it.

    Args:
        trials: One row per member, as stored.
        curves: One row per evaluation point, as stored.
        chosen: The setting of each optimizer.
        last: The phase that was evaluated on test.
        direction: Whether a high or a low score is good.
        seconds_per_step: Measured alone, by optimizer.
    """

    trials: pd.DataFrame
    curves: pd.DataFrame
    chosen: Sequence[Chosen]
    last: Phase
    direction: Direction
    seconds_per_step: Mapping[str, float]

    def final(self, one: Chosen) -> pd.DataFrame:
        """Return an optimizer's members of the last phase at its chosen rate, by seed."""
        trials = self.trials
        own = (trials["optimizer"] == one.contestant.name) & (trials["lr"] == one.lr)
        return trials[own & (trials["phase"] == self.last)].sort_values("seed")

    def finished(self, one: Chosen) -> pd.DataFrame:
        """Return those of them that did not fail."""
        final = self.final(one)
        return final[final["status"] == "ok"]

    def scores(self, one: Chosen) -> np.ndarray:
        """Return an optimizer's test scores by seed, shape [S]; NaN where it failed."""
        final = self.final(one)
        return final["test_score"].where(final["status"] == "ok").to_numpy(float)


@dataclass(frozen=True)
class Summary:
    """What a study found, as ``study.json`` holds it; the ranking is best first."""

    ranking: list[dict[str, Any]]
    target: float | None
    pairs: list[dict[str, Any]]
    verdict: str
    winner: Chosen | None  # whom the verdict names first; None where every training failed


def summarise(evidence: Evidence, scope: Scope) -> Summary:
    """Rank the optimizers, compare every two, and say what was shown.

    Failed seeds put an optimizer behind those without, as in tuning. The target is the median
    validation score of the best standard optimizer; None where nothing is validated.
    """
    order = sorted(evidence.chosen, key=lambda one: _place(evidence, one))
    standard = [one for one in order if one.contestant.standard]
    target = _median_score(evidence, standard[0]) if standard else math.nan
    scores = {one.contestant.name: evidence.scores(one) for one in order}
    margin, confidence = scope.smallest_difference, scope.confidence
    pairs = compare_pairs(scores, evidence.direction, margin, confidence)
    intervals = {name: mean_interval(values, confidence) for name, values in scores.items()}
    ranked = [Ranked(one.contestant.name, one.lr, *intervals[one.contestant.name]) for one in order]
    first = leader(ranked, pairs)
    return Summary(
        [_row(evidence, one, row, target) for one, row in zip(order, ranked, strict=True)],
        None if math.isnan(target) else target,
        [asdict(pair) for pair in pairs],
        verdict_sentence(ranked, pairs, scope),
        next((one for one in order if first and one.contestant.name == first.optimizer), None),
    )


def _place(evidence: Evidence, one: Chosen) -> tuple[int, float]:
    mean, _, _, failures = mean_interval(evidence.scores(one))
    return failures, math.inf if math.isnan(mean) else -sign_of(evidence.direction) * mean


def _row(evidence: Evidence, one: Chosen, ranked: Ranked, target: float) -> dict[str, Any]:
    name = one.contestant.name
    own = evidence.trials[evidence.trials["optimizer"] == name]
    steps = _steps_to_target(evidence, one, target)
    seconds = evidence.seconds_per_step[name]
    return {
        "optimizer": name,
        "lr": one.lr,
        "score": ranked.score,
        "low": ranked.low,
        "high": ranked.high,
        "tune_score": one.tune_score,
        "select_score": one.select_score,
        "winners_curse": _winners_curse(evidence, one),
        "failures": ranked.failures,
        "tuning_failures": int((own["status"] != "ok").sum()) - ranked.failures,
        "trials": int(own.loc[own["phase"] == "tune", "lr"].nunique()),
        "steps_to_target": steps,
        "seconds_to_target": steps * seconds,
        "seconds_per_step": seconds,
        "width_decades": _width(own, evidence.direction),
    }


def _winners_curse(evidence: Evidence, one: Chosen) -> float:
    """Return the fall of the validation score from tuning to fresh seeds; NaN without such.

    Positive where the score fell, whichever direction is good. Both ends are validation scores,
    so that nothing but the choice of the best is in it.
    """
    fresh = evidence.finished(one)["val_score"].mean() if evidence.last == "confirm" else math.nan
    return sign_of(evidence.direction) * (one.tune_score - float(fresh))


def _median_score(evidence: Evidence, one: Chosen) -> float:
    return float(evidence.finished(one)["val_score"].median())


def _steps_to_target(evidence: Evidence, one: Chosen, target: float) -> float:
    if math.isnan(target):
        return math.nan
    points = dict(tuple(evidence.curves.groupby("member")))
    none = evidence.curves.iloc[:0]
    curves = [points.get(member, none) for member in evidence.final(one)["member"]]
    lists = [(curve["step"].tolist(), curve["val_score"].tolist()) for curve in curves]
    return median_steps_to_target(lists, target, evidence.direction)


def _width(own: pd.DataFrame, direction: Direction) -> float:
    """Return the width of the range of good rates; a rate with a failed seed counts as failed."""
    tuned = own[own["phase"] == "tune"]
    scores = tuned["val_score"].where(tuned["status"] == "ok")
    means = scores.groupby(tuned["lr"]).agg(lambda seeds: seeds.mean(skipna=False))
    return range_width(means.index.tolist(), means.tolist(), direction)
