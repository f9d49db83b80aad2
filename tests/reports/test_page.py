"""The page holds what the study stored, all of it, and nothing from elsewhere."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from ravine.core.errors import DataError
from ravine.reports import write_report
from tests.reports.reading import Reading, read

FAILING = ("momentum", "rmsprop")  # 2 of 20 seeds of the last phase


@pytest.fixture(scope="module")
def page(default_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Reading:
    return read(write_report(default_study, tmp_path_factory.mktemp("out") / "page.html"))


@pytest.fixture(scope="module")
def stored(default_study: Path) -> dict:
    return json.loads((default_study / "study.json").read_text())


@pytest.fixture(scope="module")
def trials(default_study: Path) -> pd.DataFrame:
    return pd.read_parquet(default_study / "trials.parquet")


def test_the_report_goes_into_the_folder_unless_told(make_study: Callable[..., Path]) -> None:
    folder = make_study(optimizers=["adam"], rates=3, confirm=2)
    assert write_report(folder) == folder / "report.html"
    assert write_report(str(folder), str(folder / "a.html")) == folder / "a.html"
    assert (folder / "a.html").read_bytes() == (folder / "report.html").read_bytes()


def test_elements_are_nested_and_closed(page: Reading) -> None:
    assert page.problems == []
    assert page.open == []


def test_nothing_is_loaded_from_elsewhere(page: Reading) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "background"):
            assert name not in attributes or attributes[name].startswith("#"), (tag, attributes)
    assert "@import" not in page.css
    assert "url(" not in page.css
    assert not any(tag in ("link", "base", "iframe", "object") for tag, _ in page.elements)
    # And what a script might still ask for is refused by the browser.
    [policy] = [
        given["content"] for _, given in page.elements if "Content-Security-Policy" in str(given)
    ]
    assert policy.startswith("default-src 'none';")
    assert "connect-src" not in policy


def test_plotly_is_there_once(page: Reading) -> None:
    libraries = [text for _, text in page.scripts if "plotly.js v" in text[:200]]
    assert len(libraries) == 1


def test_the_verdict_comes_first(page: Reading, stored: dict) -> None:
    headings = [tag for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    words = [text.strip() for text in page.text if text.strip()]
    assert words.index(stored["verdict"]) < words.index("The winner, as code")
    assert stored["winner"]["code"] in page.text


def test_ranking_numbers_are_the_stored_ones(page: Reading, stored: dict) -> None:
    shown = page.numbers["Ranking, best first"]
    expected = [
        number
        for place, row in enumerate(stored["ranking"], start=1)
        for number in (place, row["lr"], row["score"], 0.1 if row["optimizer"] in FAILING else 0)
    ]
    assert shown == expected
    _, first, *_ = page.tables["Ranking, best first"]
    best = stored["ranking"][0]
    assert first[1:4] == [best["optimizer"], f"{best['lr']:.6g}", f"{100 * best['score']:.2f} %"]
    assert first[4] == f"{100 * best['low']:.2f} to {100 * best['high']:.2f} %"


def test_every_seed_is_a_point_and_a_number(
    page: Reading, stored: dict, trials: pd.DataFrame
) -> None:
    confirmed = trials[trials.phase == "confirm"]
    assert confirmed.test_score.isna().any()  # the study holds seeds that failed as well
    traces = page.figure("ranking")["data"]
    drawn = [x for trace in traces if trace["name"] == "seeds" for x in trace["x"]]
    failed = [x for trace in traces if trace["name"] == "failed seeds" for x in trace["x"]]
    assert sorted(drawn) == sorted(confirmed.test_score.dropna())
    assert len(failed) == confirmed.test_score.isna().sum()
    assert sorted(page.numbers["Test accuracy of every seed"]) == sorted(drawn)
    means = [trace["x"][0] for trace in traces if trace["name"] == "mean"]
    assert means == [row["score"] for row in stored["ranking"]]


def test_every_pair_is_shown_with_its_numbers(page: Reading, stored: dict) -> None:
    best = stored["ranking"][0]["optimizer"]
    captions = (f"{best} against the others", "All other pairs")
    rows = [row for caption in captions for row in page.tables[caption][1:]]
    assert len(rows) == len(stored["pairs"]) == 28
    shown = {(row[0], row[1]): row for row in rows}
    for pair in stored["pairs"]:
        row = shown[pair["a"], pair["b"]]
        assert row[2].replace("−", "-") == f"{100 * pair['difference']:+.2f} points"
        low, high = (f"{100 * pair[end]:+.2f}" for end in ("low", "high"))
        assert row[3].replace("−", "-") == f"{low} to {high}"
        words = f"{pair['a']} is better" if pair["verdict"] == "better" else pair["verdict"]
        assert row[5].endswith(words)
        assert row[6] == (str(pair["seeds_needed"]) if pair["seeds_needed"] else "–")


def test_a_target_that_was_missed_says_so(page: Reading, stored: dict) -> None:
    rows = {row[0]: row for row in page.tables["Speed (target: validation accuracy 95.00 %)"]}
    for row in stored["ranking"]:
        steps = "420" if row["steps_to_target"] else "not reached"
        assert rows[row["optimizer"]][1] == steps
        assert rows[row["optimizer"]][3] == "31 µs"
    assert rows["sgd"][1] == "not reached"


def test_failures_are_counted_by_optimizer_and_rate(page: Reading, trials: pd.DataFrame) -> None:
    [_, *rows] = page.tables["Trainings that failed"]
    failed = trials[trials.status != "ok"]
    assert len(rows) == len(failed.groupby(["optimizer", "lr", "phase"]))
    assert sum(int(row[3]) for row in rows) == (failed.status == "diverged").sum()
    assert sum(int(row[4]) for row in rows) == (failed.status == "stopped").sum()
    for optimizer, lr, phase, diverged, _, seeds, steps in rows:
        own = trials[(trials.optimizer == optimizer) & (trials.phase == phase)]
        own = own[own.lr.map(lambda rate: f"{rate:.6g}") == lr.replace("e-", "e-0")]
        assert (len(own), (own.status == "diverged").sum()) == (int(seeds), int(diverged))
        ends = sorted({own.diverged_at.min(), own.diverged_at.max()} - {pd.NA})
        assert steps == (" to ".join(map(str, ends)) or "–")


def test_formulas_are_mathml_and_name_what_was_set(page: Reading, stored: dict) -> None:
    equations = sum(len(one["latex"]) for one in stored["optimizers"])
    assert sum(tag == "math" for tag, _ in page.elements) == equations
    assert any(tag == "mfrac" for tag, _ in page.elements)
    for one in stored["optimizers"]:
        assert one["differs"] in page.text
        assert one["paper"] in page.text
    assert {"beta1", "momentum", "weight_decay"} <= set(page.text)


def test_settings_versions_seeds_and_notices_are_there(page: Reading, stored: dict) -> None:
    for words in (stored["command"], *stored["notices"], *stored["versions"].values()):
        assert words in page.text
    assert {"0–2", "100–104", "200–219", "0.50 points", "95%"} <= set(page.text)


def test_figures_and_tables_are_described(page: Reading) -> None:
    plots = [given for _, given in page.elements if given.get("class") == "plot"]
    assert len(plots) == 4
    assert all(given["role"] == "img" and given["aria-label"] for given in plots)
    tables = sum(tag == "table" for tag, _ in page.elements)
    assert tables == sum(tag == "caption" for tag, _ in page.elements) == len(page.tables)


def test_an_optimizer_has_one_colour(page: Reading, stored: dict) -> None:
    names = [one["name"] for one in stored["optimizers"]]
    dots = [given["style"] for _, given in page.elements if given.get("class") == "dot"]
    colours = {style.removeprefix("background:") for style in dots}
    assert len(colours) == len(names) == 8
    for key in ("sensitivity", "curves", "budget"):
        lines = [one for one in page.figure(key)["data"] if one.get("showlegend") is not False]
        assert [one["name"] for one in lines] == names
        assert {one["line"]["color"] for one in lines} == colours


def test_what_a_user_supplies_is_text(make_study: Callable[..., Path]) -> None:
    choices = {"optimizers": ["adam", "sgd"], "rates": 4, "confirm": 3}
    plain = read(write_report(make_study(**choices)))
    name = _hostile("name")
    folder = make_study(**choices, rename={"adam": name})
    places = _poison(folder / "study.json")
    page = read(write_report(folder))
    assert [given for given, _ in page.scripts] == [given for given, _ in plain.scripts]
    for given, text in page.scripts:
        assert "<" not in text if "id" in given else "alert(" not in text
    assert page.problems == []
    for place in ("name", *places):
        assert _hostile(place) in "".join(page.text)
    # Plotly reads markup in names: there they are escaped once more.
    labels = {one["name"] for one in page.figure("curves")["data"]}
    assert {unescape(one) for one in labels} == {name, "sgd"}
    assert not any("<" in one for one in labels)


def _hostile(place: str) -> str:
    return f"<script>alert({place})</script>\"'&"


def _poison(path: Path) -> list[str]:
    study = json.loads(path.read_text())
    study["winner"]["code"] = _hostile("code")
    study["notices"] = [_hostile("notices")]
    study["optimizers"][0]["latex"] = {"w": rf"\text{{{_hostile('latex')}}}"}
    study["optimizers"][0]["hypers"] = {_hostile("hypers"): 1.0}
    study["problem"]["data"] = _hostile("data")
    plain = ("verdict", "command")
    study |= {place: _hostile(place) for place in plain}
    path.write_text(json.dumps(study))
    return ["code", "notices", "latex", "hypers", "data", *plain]


def test_a_formula_cannot_bring_a_link(make_study: Callable[..., Path]) -> None:
    folder = make_study(optimizers=["adam"], rates=3, confirm=0)
    study = json.loads((folder / "study.json").read_text())
    study["optimizers"][0]["latex"] = {"w": r"\href{https://example.org}{w}"}
    (folder / "study.json").write_text(json.dumps(study))
    page = read(write_report(folder))
    assert not any("example.org" in str(given) for _, given in page.elements)
    assert r"\href{https://example.org}{w}" in page.text


CASES = {
    "no confirm, one seed": {"confirm": 0, "tune": 1},
    "one optimizer": {"optimizers": ["adam"]},
    "lower is better, no validation": {"quadratic": True, "confirm": 0, "tune": 4},
    "all failed": {"all_fail": True},
    "all failed, no confirm": {"all_fail": True, "confirm": 0, "tune": 1},
    "sixteen rates": {"rates": 16},
    "interrupted": {"status": "running"},
    "interrupted while tuning": {"status": "running", "confirm": 0},
}


@pytest.mark.parametrize("choices", CASES.values(), ids=CASES.keys())
def test_every_kind_of_study_is_reported(make_study: Callable[..., Path], choices: dict) -> None:
    folder = make_study(**choices)
    page = read(write_report(folder))
    trials = pd.read_parquet(folder / "trials.parquet")
    failed = trials[trials.status != "ok"]
    assert page.problems == []
    assert not re.search(r"\b(nan|None|NaN|inf|<NA>)\b", " ".join(page.text))
    marks = [one for one in page.figure("sensitivity")["data"] if one.get("yaxis") == "y2"]
    tuned = failed[failed.phase == "tune"].groupby(["optimizer", "lr"])
    assert sum(len(one["x"]) for one in marks) == len(tuned)


def test_a_single_rate_was_not_tuned(make_study: Callable[..., Path]) -> None:
    page = read(write_report(make_study(quadratic=True, confirm=0, tune=3, rates=1)))
    assert not any("Nothing was confirmed" in text for text in page.text)
    assert "plot-budget" not in {given.get("id") for _, given in page.elements}


def test_an_interrupted_study_says_so_first(make_study: Callable[..., Path]) -> None:
    page = read(write_report(make_study(status="running")))
    words = [text.strip() for text in page.text if text.strip()]
    place = words.index("This study did not finish")
    assert place < words.index("No verdict: the study did not finish.")
    assert ("p", {"class": "alert", "role": "alert"}) in page.elements


def test_a_failed_study_names_its_error(make_study: Callable[..., Path]) -> None:
    folder = make_study(status="failed", confirm=0)
    study = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(study | {"error": "ValueError: too <b>large"}))
    assert "(status: failed; ValueError: too <b>large)" in "".join(read(write_report(folder)).text)


def test_a_study_that_has_only_begun_is_reported(make_study: Callable[..., Path]) -> None:
    folder = make_study(status="stopped", confirm=0)
    for name in ("trials.parquet", "curves.parquet"):
        pd.read_parquet(folder / name).iloc[:0].to_parquet(folder / name)
    page = read(write_report(folder))
    assert "(status: stopped)" in "".join(page.text)
    said = "0 of 0 trainings diverged, 0 were stopped, as hopeless or with the study."
    assert said in "".join(page.text)


def test_without_confirmation_the_page_says_that_scores_flatter(
    make_study: Callable[..., Path],
) -> None:
    page = read(write_report(make_study(confirm=0, tune=2)))
    assert any("Nothing was confirmed" in text for text in page.text)


def test_only_format_score_and_optimizers_are_needed(make_study: Callable[..., Path]) -> None:
    folder = make_study(confirm=3)
    study = json.loads((folder / "study.json").read_text())
    kept = {key: study[key] for key in ("format", "score")}
    kept["optimizers"] = [{"name": one["name"]} for one in study["optimizers"]]
    for missing in ({}, dict.fromkeys(set(study) - set(kept))):
        (folder / "study.json").write_text(json.dumps(kept | missing))
        assert "did not finish" in "".join(read(write_report(folder)).text)


@pytest.mark.parametrize("name", ["study.json", "trials.parquet", "curves.parquet"])
def test_a_missing_file_is_named_with_what_makes_it(
    make_study: Callable[..., Path], name: str
) -> None:
    folder = make_study(optimizers=["sgd"], rates=2, confirm=0)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing; `ravine compare --out FOLDER`"):
        write_report(folder)


@pytest.mark.parametrize("name", ["study.json", "trials.parquet", "curves.parquet"])
def test_a_corrupt_file_is_named(make_study: Callable[..., Path], name: str) -> None:
    folder = make_study(optimizers=["sgd"], rates=2, confirm=0)
    (folder / name).write_bytes(b"\xff not this")
    with pytest.raises(DataError, match=rf"{name} cannot be read: .*ravine compare --out"):
        write_report(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "must have format 1, got 2"),
        ({"optimizers": []}, "lacks 'optimizers'"),
        ({"score": None}, "lacks 'score'"),
        ({"score": {"name": "x", "direction": "up"}}, "'max' or 'min', got 'up'"),
    ],
)
def test_a_page_that_cannot_be_used_says_why(
    make_study: Callable[..., Path], change: dict, message: str
) -> None:
    folder = make_study(optimizers=["sgd"], rates=2, confirm=0)
    study = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(study | change))
    with pytest.raises(DataError, match=message):
        write_report(folder)


def test_a_missing_column_is_named(make_study: Callable[..., Path]) -> None:
    folder = make_study(optimizers=["sgd"], rates=2, confirm=0)
    table = pd.read_parquet(folder / "trials.parquet").drop(columns="diverged_at")
    table.to_parquet(folder / "trials.parquet")
    with pytest.raises(DataError, match=r"trials.parquet lacks the column 'diverged_at'"):
        write_report(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: study.json is missing"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ravine", ("plotly", "pandas", "jinja2", "ravine.reports")),
        ("ravine.reports", ("torch", "ravine.population", "ravine.optim", "ravine.problems")),
    ],
)
def test_an_import_brings_no_more_than_it_needs(module: str, absent: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print(*(set({absent}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
