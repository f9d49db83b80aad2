"""Studies that really train: from rule to stored verdict."""

import numpy as np
import pytest

from ravine import Problem, compare, rule

QUICK = {"rates": [0.01, 0.1], "seeds": 4, "epochs": 3}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return compare(
        Problem("linear", "digits"),
        ["sgd", "adam"],
        **QUICK,
        out=tmp_path_factory.mktemp("a") / "s",
    )


def test_every_phase_trains_and_the_winner_beats_chance(study):
    trials = study.frame()
    assert trials.groupby("phase").size().to_dict() == {"tune": 12, "select": 20, "confirm": 8}
    assert (trials["status"] == "ok").all()
    assert trials["steps"].tolist() == [3 * 17] * len(trials)
    assert study.ranking()["score"].max() > 0.85


def test_the_same_order_trains_to_the_same_numbers(study, tmp_path):
    again = compare(Problem("linear", "digits"), ["sgd", "adam"], **QUICK, out=tmp_path / "again")
    measured = ["seconds"]
    assert again.frame().drop(columns=measured).equals(study.frame().drop(columns=measured))
    assert again.curves().equals(study.curves())
    assert again.verdict == study.verdict


def test_scores_do_not_depend_on_who_else_competes(study, tmp_path):
    alone = compare(Problem("linear", "digits"), ["adam"], **QUICK, out=tmp_path / "alone")
    keys = ["phase", "lr", "seed"]
    both = study.frame().query("optimizer == 'adam'").set_index(keys)["val_score"]
    one = alone.frame().set_index(keys)["val_score"]
    np.testing.assert_array_equal(one, both.loc[one.index])


def test_a_huge_rate_diverges_and_is_kept(tmp_path):
    @rule()
    def explosive(w, g, *, lr=0.1):
        return w - lr * g * 1e30

    study = compare(
        Problem("mlp:8", "digits"), [explosive, "sgd"], rates=[0.1], seeds=2, epochs=1,
        confirm=False, out=tmp_path / "s",
    )  # fmt: skip
    failed = study.frame().query("optimizer == 'explosive'")
    assert failed["status"].tolist() == ["diverged", "diverged"]
    assert (failed["diverged_at"] >= 1).all()
    assert failed["test_score"].isna().all()
    assert study.winner["optimizer"] == "sgd"
