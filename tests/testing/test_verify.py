"""Stored trajectories, and the command that compares rules with them."""

import json
from dataclasses import replace

import pytest

from ravine.cli._verify import run_verify
from ravine.core.errors import SettingError
from ravine.rules import all_rules, get_rule, rule_names
from ravine.testing import _conformance
from ravine.testing._conformance import (
    Finding,
    conformance,
    judged,
    judged_golden,
    known_names,
)
from ravine.testing._golden import NEAR, all_golden, golden_differences
from ravine.testing._peers import LIBRARIES, PEERS


@pytest.mark.parametrize("golden", all_golden(), ids=lambda golden: golden.id)
def test_golden(golden):
    found = golden_differences(golden)
    assert max(found.values()) <= NEAR, found


def test_every_rule_has_a_stored_trajectory():
    assert set(rule_names()) - {golden.rule for golden in all_golden()} == set()


def test_an_altered_iterate_is_found():
    (golden,) = (g for g in all_golden() if g.id == "adam@torch")
    last = list(golden.iterates[-1])
    last[4] += 1e-8
    altered = replace(golden, iterates=(*golden.iterates[:-1], tuple(last)))
    finding = judged_golden(altered)
    assert finding.outcome == "unexpected"
    assert finding.difference == pytest.approx(1e-8, rel=0.5)


def test_a_wrong_rule_is_found():
    (golden,) = (g for g in all_golden() if g.id == "adam@torch")
    right = get_rule("adam")

    def off(w, g, m, v, *, t, **hypers):
        return right.function(w, g, m, v, t=t + 1, **hypers)

    shifted = replace(right, function=off)
    assert judged_golden(golden, shifted).outcome == "unexpected"


def test_readouts_are_stored_where_they_are_not_the_weights():
    found = {golden.id for golden in all_golden() if golden.readouts != golden.iterates}
    assert found == {f"{r.name}@{r.convention}" for r in all_rules() if r.readout is not None}


@pytest.mark.parametrize("name", ["asgd", "lookahead", "schedule_free_adamw", "schedule_free_sgd"])
def test_a_wrong_readout_is_found(name):
    golden = next(g for g in all_golden() if g.rule == name)
    wrong = replace(get_rule(name), readout=lambda w, *kept, **hypers: 100 * w)
    found = golden_differences(golden, wrong)
    assert max(found[way] for way in ("formula", "kernel", "optimizer")) <= NEAR
    ways = [f"readout of the {way}" for way in ("formula", "kernel", "optimizer")]
    assert min(found[way] for way in ways) > 1
    finding = judged_golden(golden, wrong)
    assert finding.outcome == "unexpected"
    assert finding.text.startswith("the readout of the ")


def test_a_readout_where_none_belongs_is_found():
    golden = next(g for g in all_golden() if g.id == "adam@torch")
    wrong = replace(get_rule("adam"), readout=lambda w, *kept, **hypers: w + 1e-8)
    assert judged_golden(golden, wrong).outcome == "unexpected"


def test_a_wrong_class_is_found(monkeypatch):
    monkeypatch.setattr(
        "ravine.testing._golden_classes.class_arguments", lambda hypers: {"lr": 0.3}
    )
    (golden,) = (g for g in all_golden() if g.rule == "adafactor")
    assert judged_golden(golden).outcome == "unexpected"


def test_a_wrong_statement_is_found():
    row = next(row for row in PEERS if row.id == "adam-torch.optim")
    assert judged(row).outcome == "agrees"
    finding = judged(replace(row, difference=0.5))
    assert finding.outcome == "unexpected"
    assert finding.text == "the table states 0.5"


def test_a_library_that_is_missing_is_not_run(monkeypatch):
    missing = replace(LIBRARIES["optax"], module="a_library_that_is_not_there")
    monkeypatch.setitem(LIBRARIES, "optax", missing)
    findings = [f for f in conformance("sgd").libraries if f.what == "optax"]
    assert [(f.outcome, f.difference) for f in findings] == [("not installed", None)]


def test_unknown_names_are_refused_before_anything_runs():
    with pytest.raises(SettingError, match=r"unknown rule 'adma'; did you mean .*'adam'"):
        run_verify(["sgd", "adma"])


def test_unknown_conventions_are_refused_with_those_there_are():
    with pytest.raises(SettingError, match=r"unknown convention of adam 'lectur'; .*'lecture'"):
        run_verify(["adam@lectur"])
    with pytest.raises(SettingError, match="unknown convention of adam ''"):
        run_verify(["adam@"])


def test_a_convention_alone_is_verified(capsys):
    assert run_verify(["adam@lecture", "adafactor@torch"], as_json=True) == 0
    first, second = json.loads(capsys.readouterr().out)["rules"]
    assert (first["rule"], second["rule"]) == ("adam@lecture", "adafactor@torch")
    assert [f["id"] for f in first["golden"]] == ["adam@lecture"]
    assert "adam-torch.optim" not in {f["id"] for f in first["libraries"]}
    assert {f["id"] for f in second["golden"]} == {"adafactor@torch"}


def test_every_finding_belongs_to_one_convention(monkeypatch):
    monkeypatch.setattr(_conformance, "judged_golden", lambda golden: golden.id)
    monkeypatch.setattr(_conformance, "judged", lambda row: row.id)
    for name in known_names():
        parts = [conformance(f"{name}@{one}") for one in _conformance.conventions(name)]
        whole = conformance(name)
        assert sorted(f for part in parts for f in part.golden) == sorted(whole.golden)
        assert sorted(f for part in parts for f in part.libraries) == sorted(whole.libraries)


def test_the_table_has_a_row_per_rule(capsys):
    assert run_verify(["sgd", "adafactor"]) == 0
    shown = capsys.readouterr().out
    assert "sgd" in shown
    assert "torch.optim: agrees" in shown
    assert "2 rules" in shown


def test_json_holds_every_finding(capsys):
    assert run_verify(["momentum"], as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    (line,) = document["rules"]
    assert line["as_expected"]
    assert [f["what"] for f in line["golden"]] == ["torch", "lecture", "textbook"]
    assert {f["what"] for f in line["libraries"]} >= {"torch.optim"}


def test_the_unexpected_fails_the_command(monkeypatch, capsys):
    wrong = Finding("torch", "unexpected", 0.5, "the kernel leaves it", "sgd@torch")
    monkeypatch.setattr(_conformance, "judged_golden", lambda golden: wrong)
    assert run_verify(["sgd"]) == 1
    assert "unexpected 0.5" in capsys.readouterr().out
    assert not conformance("sgd").as_expected


OWN = """
import ravine

@ravine.rule()
def good(w, g, *, lr=0.1):
    return w - lr * g

@ravine.rule()
def bad(w, g, *, lr=0.1, mu=0.9):
    return w - lr * g
"""


def test_own_rules_are_checked(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    assert run_verify([], rules=file) == 1
    shown = capsys.readouterr().out.replace("\n", " ")
    assert "good: keeps the contract" in shown
    assert "bad: mu has no effect on the formula" in shown
    assert "torch.optim" not in shown


def test_own_rules_are_chosen_by_name(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    assert run_verify(["good"], rules=file) == 0
    shown = capsys.readouterr().out
    assert "good: keeps the contract" in shown
    assert "bad" not in shown
    assert run_verify(["sgd", "good"], rules=file, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [line["rule"] for line in document["rules"]] == ["sgd"]
    assert document["own"] == [{"rule": "good", "wrong": ""}]
    assert run_verify(["sgd"], rules=file) == 1
    with pytest.raises(SettingError, match=r"unknown rule 'god'; did you mean .*'good'"):
        run_verify(["god"], rules=file)


def test_all_names_are_known_once():
    assert len(known_names()) == len(set(known_names()))
