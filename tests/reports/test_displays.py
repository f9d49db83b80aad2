"""The displays' tables against plain loops over the stored rows."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import mean, median

import numpy as np
import pandas as pd
import pytest

from ravine.reports import Budget, Curves, Ranking, Sensitivity, read_stored
from ravine.reports._score import Score

KINDS = {"default": {}, "lower is better": {"quadratic": True, "confirm": 0, "tune": 5}}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def folder(request: pytest.FixtureRequest, make_study: Callable[..., Path]) -> Path:
    return make_study(**request.param)


def _tuned(folder: Path) -> list[dict]:
    trials = pd.read_parquet(folder / "trials.parquet")
    return trials[trials.phase == "tune"].to_dict("records")


def test_ranking_has_every_seed_beside_its_mean(folder: Path) -> None:
    study = read_stored(folder)
    table = Ranking(study).frame()
    trials = pd.read_parquet(folder / "trials.parquet").to_dict("records")
    confirmed = any(row["phase"] == "confirm" for row in trials)
    for best in study.page["ranking"]:
        own = table[table.optimizer == best["optimizer"]]
        seeds = {
            row["seed"]: row["test_score"]
            for row in trials
            if row["optimizer"] == best["optimizer"]
            and row["phase"] == ("confirm" if confirmed else "tune")
            and row["lr"] == best["lr"]
        }
        assert dict(zip(own.seed, own.seed_score, strict=True)) == pytest.approx(
            seeds, abs=0, nan_ok=True
        )
        assert set(own.score) == {best["score"]}
        assert (own.low.iloc[0], own.high.iloc[0]) == (best["low"], best["high"])
    assert list(table.optimizer.unique()) == [row["optimizer"] for row in study.page["ranking"]]


def test_sensitivity_is_the_median_with_failures_as_the_worst(folder: Path) -> None:
    table = Sensitivity(read_stored(folder)).frame()
    rows = _tuned(folder)
    column, worst = ("val_score", -np.inf)
    if all(np.isnan(row["val_score"]) for row in rows):
        column, worst = ("test_score", np.inf)
    assert len(table) == len({(row["optimizer"], row["lr"]) for row in rows})
    for point in table.to_dict("records"):
        own = [r for r in rows if (r["optimizer"], r["lr"]) == (point["optimizer"], point["lr"])]
        scores = [row[column] if row["status"] == "ok" else worst for row in own]
        finished = [score for score in scores if np.isfinite(score)]
        assert point["diverged"] == sum(row["status"] == "diverged" for row in own)
        assert point["stopped"] == sum(row["status"] == "stopped" for row in own)
        assert point["seeds"] == len(own)
        if np.isfinite(median(scores)):
            assert point["median"] == pytest.approx(median(scores), rel=1e-14)
            assert (point["low"], point["high"]) == (min(finished), max(finished))
        else:
            assert np.isnan(point["median"])


def test_sensitivity_rings_the_rate_that_was_chosen(make_study: Callable[..., Path]) -> None:
    # Selection on fresh seeds may choose another rate than the best when tuned.
    folder = make_study(optimizers=["adam", "sgd"], rates=6)
    page = json.loads((folder / "study.json").read_text())
    rates = sorted(pd.read_parquet(folder / "trials.parquet")["lr"].unique())
    for row, lr in zip(page["ranking"], rates[1:3], strict=True):
        row["lr"] = lr
    (folder / "study.json").write_text(json.dumps(page))
    shown = Sensitivity(read_stored(folder))
    ringed = shown.frame().query("chosen").set_index("optimizer")["lr"].to_dict()
    assert ringed == {row["optimizer"]: row["lr"] for row in page["ranking"]}
    rings = [t for t in shown.plot().data if t.marker.symbol == "circle-open"]
    assert {t.legendgroup: t.x for t in rings} == {name: (lr,) for name, lr in ringed.items()}


def test_an_unfinished_study_has_chosen_no_rate(make_study: Callable[..., Path]) -> None:
    table = Sensitivity(read_stored(make_study(status="stopped"))).frame()
    assert not table["chosen"].any()


def test_curves_are_quartiles_over_the_final_seeds(folder: Path) -> None:
    study = read_stored(folder)
    table = Curves(study).frame()
    final = study.final_trials()
    curves = pd.read_parquet(folder / "curves.parquet")
    for point in table.iloc[::37].to_dict("records"):
        members = set(final[final.optimizer == point["optimizer"]].member)
        rows = curves[curves.member.isin(members) & (curves.epoch == point["epoch"])]
        assert point["seeds"] == len(rows)
        for kind in ("train_loss", "val_score"):
            found = [point[f"{kind}_{part}"] for part in ("low", "median", "high")]
            assert found == pytest.approx(np.quantile(rows[kind], [0.25, 0.5, 0.75]), nan_ok=True)
    finished = final[final.status == "ok"]
    assert table.groupby("optimizer").seeds.max().to_dict() == (
        finished.groupby("optimizer").size().to_dict()
    )


def test_budget_is_the_mean_of_the_best_over_all_subsets(make_study: Callable[..., Path]) -> None:
    folder = make_study(rates=6, optimizers=["adam", "sgd", "adagrad"])
    table = Budget(read_stored(folder)).frame()
    for name, own in table.groupby("optimizer"):
        trials: dict[float, list[float]] = {}
        for row in _tuned(folder):
            if row["optimizer"] == name:
                trials.setdefault(row["lr"], []).append(
                    row["val_score"] if row["status"] == "ok" else np.nan
                )
        scores = [mean(seeds) for seeds in trials.values()]
        worst = np.nanmin(scores)
        scores = [worst if np.isnan(score) else score for score in scores]
        assert list(own.trials) == [1, 2, 3, 4, 5, 6]
        for k, expected in zip(own.trials, own.expected, strict=True):
            best = mean(max(some) for some in combinations(scores, k))
            assert expected == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(
    ("direction", "reversed_"), [("max", False), ("min", True)], ids=["max", "min"]
)
def test_axes_run_towards_the_better_score(
    make_study: Callable[..., Path], direction: str, reversed_: bool
) -> None:
    study = read_stored(make_study(quadratic=direction == "min", confirm=0))
    for chart in (Ranking(study).plot().layout.xaxis, Sensitivity(study).plot().layout.yaxis):
        assert (chart.autorange == "reversed") == reversed_


def test_accuracy_is_in_percent_and_its_differences_in_points() -> None:
    accuracy, loss = Score("accuracy", "max"), Score("loss", "min")
    assert accuracy.axis([0.9])["tickformat"] == ".2~%"
    assert loss.axis([0.9])["tickformat"] == ".4~g"
    assert (accuracy.text(0.5), accuracy.difference(0.005)) == ("50.00 %", "+0.50 points")
    assert (loss.text(87.397), loss.difference(-1.25)) == ("87.397", "−1.25")
    assert accuracy.text(None) == accuracy.text(float("nan")) == "–"


def test_a_failed_final_seed_is_a_cross_at_the_edge(make_study: Callable[..., Path]) -> None:
    folder = make_study(optimizers=["adam"], rates=3, confirm=4)
    trials = pd.read_parquet(folder / "trials.parquet")
    last = trials.index[-1]
    trials.loc[last, ["status", "test_score"]] = ["diverged", 0.1]  # the score does not count
    trials.to_parquet(folder / "trials.parquet")
    traces = {one.name: one for one in Ranking(read_stored(folder)).plot().data}
    assert len(traces["seeds"].x) == 3
    assert traces["failed seeds"].xaxis == "x2"
    assert [list(row) for row in traces["failed seeds"].customdata] == [
        [trials.seed[last], "diverged"]
    ]
