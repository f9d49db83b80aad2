"""Stored trajectories, and the command that compares rules with them."""

import json
from dataclasses import replace

import pytest

from ravine.cli._verify import run_verify
from ravine.core.errors import SettingError
from ravine.rules import get_rule, rule_names
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
def bad(w, g, *, t, lr=0.1):
    return w - (lr if t == 1 else 2 * lr) * g
"""


def test_own_rules_are_checked(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    assert run_verify([], rules=file) == 1
    shown = capsys.readouterr().out.replace("\n", " ")
    assert "good: keeps the contract" in shown
    assert "bad: the kernel differs from the formula at step 1" in shown
    assert "torch.optim" not in shown


def test_all_names_are_known_once():
    assert len(known_names()) == len(set(known_names()))
