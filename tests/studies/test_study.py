"""A whole study with a population that trains nothing: what is stored, and when."""

import json
import math
import os

import numpy as np
import pytest
import torch
from scipy import stats

from ravine.core.errors import SettingError
from ravine.kernels import latex
from ravine.population import Outcome
from ravine.population._workers import WorkerError
from ravine.problems import Problem, named_problem
from ravine.rules import get_rule, rule
from ravine.schedules import cosine, warmup
from ravine.studies.contestants import left_out
from ravine.studies.ledger import Ledger
from ravine.studies.order import Order, check
from ravine.studies.storage import read_curves, read_study, read_trials
from ravine.studies.study import run_study
from tests.studies.fake import FakePopulation, outcome


@pytest.fixture(scope="module")
def problem():
    return Problem("linear", "digits")


@pytest.fixture(scope="module")
def stored(problem, tmp_path_factory):
    """A study of three optimizers, in all phases."""
    folder = tmp_path_factory.mktemp("study") / "out"
    order = Order(problem, ["sgd", "momentum", "adam"], trials=6, seeds=6, command="ravine compare")
    run_study(order, folder, make_population=FakePopulation)
    return folder


class Recorder:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.estimates, self.standings, self.notices = [], [], []

    def estimated(self, estimate):
        self.estimates.append(estimate)

    def progressed(self, standing):
        self.standings.append(standing)

    def noticed(self, text):
        self.notices.append(text)


def test_one_row_per_member_with_test_only_in_confirm(stored):
    trials = read_trials(stored)
    assert trials["member"].is_unique
    sizes = trials.groupby(["phase", "optimizer"]).size()
    assert sizes["tune"].tolist() == [18] * 3
    assert sizes["select"].tolist() == [15] * 3
    assert sizes["confirm"].tolist() == [6] * 3
    confirmed = trials["phase"] == "confirm"
    assert trials.loc[confirmed, ["test_loss", "test_score"]].notna().all(axis=None)
    assert trials.loc[~confirmed, ["test_loss", "test_score"]].isna().all(axis=None)


def test_divergence_is_kept_and_counted(stored):
    trials, page = read_trials(stored), read_study(stored)
    diverged = trials[trials["status"] == "diverged"]
    assert set(diverged["lr"]) == {10.0}
    assert diverged["diverged_at"].tolist() == [7] * len(diverged)
    failures = {row["optimizer"]: row["tuning_failures"] for row in page["ranking"]}
    assert failures == diverged.groupby("optimizer").size().to_dict() == dict.fromkeys(failures, 3)
    assert [row["failures"] for row in page["ranking"]] == [0, 0, 0]


def test_further_hyper_parameters_have_columns(stored):
    trials = read_trials(stored)
    sgd, adam = (trials[trials["optimizer"] == name] for name in ("sgd", "adam"))
    assert sgd[["mu", "beta1"]].isna().all(axis=None)
    assert set(adam["beta1"]) == {0.9}
    assert adam["mu"].isna().all()


def test_curves_belong_to_members(stored):
    curves, trials = read_curves(stored), read_trials(stored)
    finished = trials.loc[trials["status"] == "ok", "member"]
    assert set(curves["member"]) == set(finished)
    assert len(curves) == 3 * len(finished)


def test_the_ranking_is_recomputed_from_the_trials(stored):
    page, trials = read_study(stored), read_trials(stored)
    assert [row["optimizer"] for row in page["ranking"]] == ["adam", "momentum", "sgd"]
    assert [row["lr"] for row in page["ranking"]] == [0.001, 0.01, 0.1]
    for row in page["ranking"]:
        own = trials[(trials["optimizer"] == row["optimizer"]) & (trials["lr"] == row["lr"])]
        final = own.loc[own["phase"] == "confirm", "test_score"]
        low, high = stats.t.interval(0.95, 5, final.mean(), stats.sem(final))
        tuned = own.loc[own["phase"] == "tune", "val_score"].mean()
        expected = {"score": final.mean(), "low": low, "high": high, "tune_score": tuned}
        expected["select_score"] = own.loc[own["phase"] == "select", "val_score"].mean()
        expected["winners_curse"] = tuned - own.loc[own["phase"] == "confirm", "val_score"].mean()
        assert {key: row[key] for key in expected} == pytest.approx(expected, abs=1e-12)
        assert row["trials"] == 6
        assert row["seconds_per_step"] > 0


def test_the_target_is_the_median_of_the_best_and_a_miss_is_null(stored):
    page, trials = read_study(stored), read_trials(stored)
    final = trials[(trials["phase"] == "confirm") & (trials["optimizer"] == "adam")]
    assert page["target"] == pytest.approx(final["val_score"].median(), abs=1e-12)
    first, second, third = page["ranking"]
    # half of adam's seeds reach their median at the end, the others never: the median is a miss
    assert first["steps_to_target"] is None
    assert second["steps_to_target"] is third["steps_to_target"] is None


def test_pairs_and_verdict_name_the_winner(stored):
    page = read_study(stored)
    assert [(pair["a"], pair["b"]) for pair in page["pairs"]] == [
        *(("adam", "momentum"), ("adam", "sgd"), ("momentum", "sgd"))
    ]
    assert {pair["verdict"] for pair in page["pairs"]} == {"better"}
    assert "adam (lr 0.001) is best" in page["verdict"]
    assert "linear on digits" in page["verdict"]
    assert (page["winner"]["optimizer"], page["winner"]["lr"]) == ("adam", 0.001)


def test_settings_protocol_and_machine_are_recorded(stored, problem):
    page = read_study(stored)
    assert (page["format"], page["status"], page["command"]) == (1, "complete", "ravine compare")
    assert page["settings"] == {
        "epochs": problem.epochs,
        "batch": 64,
        "schedule": "cosine",
        "trials": 6,
        "seeds": {"tune": 3, "select": 5, "confirm": 6},
        "lr": [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0],
        "confirm": True,
        "seed": 0,
        "steps": problem.epochs * problem.steps_per_epoch(64),
    }
    assert page["protocol"]["phases"] == {
        "tune": [0, 1, 2],
        "select": [3, 4, 5, 6, 7],
        "confirm": [8, 9, 10, 11, 12, 13],
    }
    assert page["protocol"]["smallest_difference"] == 0.005
    assert page["score"] == {"name": "accuracy", "direction": "max"}
    assert page["problem"]["parameters"] == 650
    assert page["versions"]["torch"] == torch.__version__
    assert page["machine"]["cores"] <= (os.cpu_count() or 1)
    adam = page["optimizers"][2]
    assert (adam["name"], adam["convention"], adam["hypers"]["beta2"]) == ("adam", "torch", 0.999)
    assert adam["latex"] == latex(get_rule("adam"))


def test_the_population_gets_the_settings_and_sees_test_last(problem, tmp_path):
    made = []

    def make(*args, **settings):
        made.append(FakePopulation(*args, **settings))
        return made[0]

    order = Order(problem, ["adam"], trials=2, seeds=2, epochs=2, batch="full", schedule="linear")
    run_study(order, tmp_path / "out", make_population=make)
    settings = {k: v for k, v in made[0].settings.items() if k != "notice"}
    assert settings == {
        **{"epochs": 2, "batch": problem.batch_size("full"), "schedule": "linear"},
        # adam keeps two states; the extra trials, 4 rates on 3 seeds, are the most at once
        **{"states": 2, "largest": 12},
    }
    assert [test for _, test in made[0].calls][-1]
    assert not any(test for _, test in made[0].calls[:-1])
    assert "full batch" in read_study(tmp_path / "out")["verdict"]


def test_without_confirm_every_member_is_tested_once(problem, tmp_path):
    order = Order(problem, ["sgd", "adam"], rates=[0.001, 0.1], confirm=False, seeds=4)
    run_study(order, tmp_path / "out", make_population=FakePopulation)
    trials, page = read_trials(tmp_path / "out"), read_study(tmp_path / "out")
    assert len(trials) == 2 * 2 * 4
    assert set(trials["phase"]) == {"tune"}
    assert trials["test_score"].notna().all()
    assert page["settings"]["seeds"] == {"tune": 4, "select": 0, "confirm": 0}
    assert [row["lr"] for row in page["ranking"]] == [0.001, 0.1]
    assert [row["select_score"] for row in page["ranking"]] == [None, None]
    assert [row["winners_curse"] for row in page["ranking"]] == [None, None]
    assert "not confirmed" in page["verdict"]


def test_one_seed_gives_scores_without_intervals(problem, tmp_path):
    order = Order(problem, ["sgd", "adam"], rates=[0.1], confirm=False, seeds=1)
    run_study(order, tmp_path / "out", make_population=FakePopulation)
    page = read_study(tmp_path / "out")
    assert [row["low"] for row in page["ranking"]] == [None, None]
    assert page["pairs"][0]["verdict"] == "undecided"


def test_a_study_in_which_everything_fails_has_no_winner(problem, tmp_path):
    order = Order(problem, ["sgd", "adam"], rates=[10.0], seeds=2)
    run_study(order, tmp_path / "out", make_population=FakePopulation)
    page = read_study(tmp_path / "out")
    assert page["status"] == "complete"
    assert page["winner"] is None
    assert "failed" in page["verdict"]
    assert [row["score"] for row in page["ranking"]] == [None, None]


def test_failed_seeds_in_confirm_rank_behind(problem, tmp_path):
    class Fragile(FakePopulation):
        @staticmethod
        def behaviour(member, test):
            if member.optimizer == "adam" and test and member.seed % 2:
                return Outcome(member, "diverged", diverged_at=3, steps=3)
            return outcome(member, test=test)

    order = Order(problem, ["sgd", "adam"], rates=[0.001], seeds=6)
    run_study(order, tmp_path / "out", make_population=Fragile)
    page = read_study(tmp_path / "out")
    assert [row["optimizer"] for row in page["ranking"]] == ["sgd", "adam"]
    assert page["ranking"][1]["score"] > page["ranking"][0]["score"]
    assert page["winner"]["optimizer"] == "sgd"
    failures = {row["optimizer"]: row["failures"] for row in page["ranking"]}
    assert failures == {"sgd": 0, "adam": 3}
    assert [row["tuning_failures"] for row in page["ranking"]] == [0, 0]


def test_the_program_is_of_the_optimizer_that_the_verdict_names(problem, tmp_path):
    # adam's mean is higher, as it failed on another seed than sgd, but it loses on every shared one
    class Uneven(FakePopulation):
        @staticmethod
        def behaviour(member, test):
            fails = {"sgd": 5, "adam": 6}[member.optimizer] == member.seed
            if fails and test:
                return Outcome(member, "diverged", diverged_at=3, steps=3)
            level = 5.0 if member.seed == 5 else 0.5 if member.seed == 6 else 0.8
            gain = 0.001 * member.seed + 0.01 * (member.optimizer == "sgd")
            return outcome(member, test=test, val_score=level, test_score=level + gain)

    order = Order(problem, ["sgd", "adam"], rates=[0.001], seeds=12, confirm=False)
    run_study(order, tmp_path / "out", make_population=Uneven)
    page = read_study(tmp_path / "out")
    assert [row["optimizer"] for row in page["ranking"]] == ["adam", "sgd"]
    assert "sgd (lr 0.001) is best" in page["verdict"]
    assert page["winner"]["optimizer"] == "sgd"
    assert "torch.optim.SGD" in page["winner"]["code"]


def test_a_rule_of_the_user_does_not_set_the_target(problem, tmp_path):
    @rule()
    def mine(w, g, *, lr=0.1):
        return w - lr * g

    class Mine(FakePopulation):
        @staticmethod
        def behaviour(member, test):
            gain = {"val_score": 0.999, "test_score": 0.999} if member.optimizer == "mine" else {}
            return outcome(member, test=test, **gain)

    order = Order(problem, ["adam", mine], rates=[0.001], seeds=3)
    run_study(order, tmp_path / "out", make_population=Mine)
    page, trials = read_study(tmp_path / "out"), read_trials(tmp_path / "out")
    assert page["ranking"][0]["optimizer"] == "mine"
    adam = trials[(trials["optimizer"] == "adam") & (trials["phase"] == "confirm")]
    assert page["target"] == pytest.approx(adam["val_score"].median())
    assert "from_rule(mine)" in page["winner"]["code"]


def test_speed_and_time_left_follow_the_clock(problem, tmp_path, monkeypatch):
    seconds = iter(range(10**6))
    monkeypatch.setattr("ravine.studies.ledger.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr("ravine.studies.ledger.SECONDS_BETWEEN_SAVES", math.inf)
    heard = Recorder()
    order = Order(problem, ["sgd"], rates=[0.1], confirm=False, seeds=24, epochs=10)
    run_study(order, tmp_path / "out", heard, FakePopulation)
    # The clock moves once between reports (and once for the saves): 8 members of 100 steps.
    first = heard.standings[0]
    assert first.steps_per_second == pytest.approx(800.0)
    # 16 of 24 members are left, of as many steps as 10 epochs have
    steps = 10 * problem.steps_per_epoch(64)
    assert first.seconds_left == pytest.approx(16 * steps / 800.0)


def test_listeners_hear_estimate_progress_and_notices(problem, tmp_path):
    class Noisy(FakePopulation):
        def time_step(self, rules):
            self.settings["notice"]("no compiler")
            self.settings["notice"]("no compiler")
            return 2e-6

    heard = Recorder()
    run_study(Order(problem, ["sgd", "adam"], trials=4, seeds=2), tmp_path / "out", heard, Noisy)
    [estimate] = heard.estimates
    assert estimate.members == 2 * (4 * 3 + 3 * 5 + 2)
    assert estimate.shorter == ("optimizers", "trials", "seeds", "epochs", "confirm")
    assert estimate.seconds == pytest.approx(estimate.members * estimate.steps * 2e-6)
    last = heard.standings[-1]
    assert (last.done, last.running, last.waiting) == (len(read_trials(tmp_path / "out")), 0, 0)
    assert [s.phase for s in heard.standings] == sorted(
        (s.phase for s in heard.standings), key=["tune", "select", "confirm"].index
    )
    assert set(last.best) == {"sgd", "adam"}
    trials = read_trials(tmp_path / "out")
    assert last.best["adam"].score == trials.loc[trials["optimizer"] == "adam", "val_score"].max()
    assert heard.notices == read_study(tmp_path / "out")["notices"] == ["no compiler"]


def test_only_settings_that_could_be_less_are_said_to_shorten_a_study(problem, tmp_path):
    def shorter(name, **given):
        heard = Recorder()
        run_study(Order(problem, **given), tmp_path / name, heard, FakePopulation)
        return heard.estimates[0].shorter

    least = {"rates": [0.1], "seeds": 1, "epochs": 1, "confirm": False}
    assert shorter("least", optimizers=["sgd"], **least) == ()
    assert shorter("two", optimizers=["sgd", "adam"], **least) == ("optimizers",)
    more = {"rates": [0.1, 0.2], "seeds": 2, "epochs": 2, "confirm": False}
    assert shorter("more", optimizers=["sgd"], **more) == ("rates", "seeds", "epochs")
    few = {"trials": 2, "seeds": 1, "epochs": 1}
    assert shorter("few", optimizers=["sgd"], **few) == ("confirm",)


class StopsInSelect(FakePopulation):
    """Ctrl-C in the second segment of the second phase."""

    def run(self, members, *, test=False, stop_hopeless=False):
        for number, progress in enumerate(super().run(members, test=test)):
            if len(self.calls) == 2 and number == 1:
                raise KeyboardInterrupt
            yield progress


def test_an_interrupt_keeps_what_finished(problem, tmp_path):
    order = Order(problem, ["sgd", "adam"], rates=[0.001, 0.1])
    with pytest.raises(KeyboardInterrupt):
        run_study(order, tmp_path / "out", make_population=StopsInSelect)
    trials, page = read_trials(tmp_path / "out"), read_study(tmp_path / "out")
    assert (page["status"], page["verdict"], page["ranking"]) == ("stopped", None, [])
    assert (trials["phase"] == "tune").sum() == 12
    selected = trials[trials["phase"] == "select"]
    assert selected["status"].tolist() == ["ok"] * 8 + ["stopped"] * 12
    stopped = selected[selected["status"] == "stopped"]
    assert stopped[["steps", "seconds", "val_score"]].isna().all(axis=None)


def test_an_error_keeps_what_finished_and_is_named(problem, tmp_path):
    class Crashes(FakePopulation):
        def run(self, members, *, test=False, stop_hopeless=False):
            yield next(super().run(members, test=test))
            raise WorkerError("a worker process was killed\nat night")

    with pytest.raises(WorkerError, match="killed"):
        run_study(Order(problem, ["sgd"], trials=4, seeds=2), tmp_path / "out", None, Crashes)
    page = read_study(tmp_path / "out")
    assert (page["status"], page["verdict"]) == ("failed", None)
    assert page["error"] == "WorkerError: a worker process was killed"
    assert len(read_trials(tmp_path / "out")) == 8


def test_results_are_saved_within_a_phase(problem, tmp_path, monkeypatch):
    monkeypatch.setattr("ravine.studies.ledger.SECONDS_BETWEEN_SAVES", -1.0)
    sizes = []
    save = Ledger.save
    monkeypatch.setattr(
        Ledger, "save", lambda self: (save(self), sizes.append(len(read_trials(self.folder))))
    )
    order = Order(problem, ["sgd", "adam"], rates=[0.1], confirm=False, seeds=12)
    run_study(order, tmp_path / "out", make_population=FakePopulation)
    assert sizes == [0, 8, 16, 24, 24, 24]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"batch": 0}, "batch must be"),
        ({"batch": 10**6}, "batch must be <="),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": lambda step, total, base: {}}, "must be one that a text can name"),
        ({"schedule": "warmup:99999+cosine"}, "must begin one after another within"),
        ({"optimizers": ["adagrd"]}, "did you mean 'adagrad'"),
        ({"settings": {"gamma": 0.5}}, "unknown setting"),
        ({"trials": 1}, "trials must be an integer >= 2"),
        ({"epochs": 2.5}, "epochs must be an integer >= 1, got 2.5"),
        ({"optimizers": "adam"}, r"optimizers must be a list .*\['adam', 'sgd'\], got 'adam'"),
        ({"optimizers": get_rule("adam")}, "optimizers must be a list of names or rules"),
        ({"optimizers": None}, "optimizers must be a list of names or rules.*got None"),
        ({"optimizers": [3]}, "optimizers must be names or rules, got 3"),
        ({"settings": {"lr": 0.1}}, "give them with --lr or rates="),
    ],
)
def test_wrong_orders_are_refused_before_anything_is_stored(problem, tmp_path, given, message):
    with pytest.raises(SettingError, match=message):
        run_study(Order(problem, **given), tmp_path / "out", make_population=FakePopulation)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("schedule", "text"),
    [(cosine, "cosine"), (warmup(0.1), "warmup:0.1"), ("warmup:1 + linear", "warmup:1+linear")],
)
def test_schedules_are_kept_as_their_text(problem, schedule, text):
    assert check(Order(problem, ["sgd"], schedule=schedule)).schedule == text


def test_every_method_left_out_is_named_with_its_reason():
    sentences = left_out(["all"])
    assert len(sentences) == 6
    assert (
        "left out: muon_with_adamw, shampoo, soap, because whole matrices are multiplied, which a"
        " formula per weight cannot say"
    ) in sentences


def test_a_folder_with_a_study_is_not_overwritten(stored, problem):
    before = (stored / "study.json").read_bytes()
    with pytest.raises(SettingError, match="already holds a study"):
        run_study(Order(problem), stored, make_population=FakePopulation)
    assert (stored / "study.json").read_bytes() == before


@pytest.mark.parametrize("given", [{}, {"rates": [0.1]}, {"rates": [0.1, 1.0], "confirm": False}])
def test_tuning_without_a_validation_split_is_refused(given, tmp_path):
    with pytest.raises(
        SettingError, match=r"no validation split.*--lr, rates=.*--no-confirm, confirm=False"
    ):
        run_study(
            Order(named_problem("quadratic_deep"), ["sgd"], **given),
            tmp_path / "out",
            make_population=FakePopulation,
        )


def test_a_problem_without_validation_is_judged_at_one_rate(tmp_path):
    class Quadratic(FakePopulation):
        @staticmethod
        def behaviour(member, test):
            none = {"val_loss": math.nan, "val_score": math.nan}
            return outcome(member, test=test, **none, test_score=87.0 + 0.1 * member.seed)

    order = Order(
        named_problem("quadratic_deep"), ["sgd"], rates=[0.015849], seeds=10, confirm=False
    )
    run_study(order, tmp_path / "out", make_population=Quadratic)
    page = read_study(tmp_path / "out")
    assert page["score"] == {"name": "loss", "direction": "min"}
    assert page["ranking"][0]["score"] == pytest.approx(np.mean(87 + 0.1 * np.arange(10)))
    assert (page["target"], page["ranking"][0]["winners_curse"]) == (None, None)


def test_the_same_order_gives_the_same_numbers(stored, problem, tmp_path):
    order = Order(problem, ["sgd", "momentum", "adam"], trials=6, seeds=6, command="ravine compare")
    run_study(order, tmp_path / "out", make_population=FakePopulation)
    assert read_trials(tmp_path / "out").equals(read_trials(stored))
    assert read_curves(tmp_path / "out").equals(read_curves(stored))
    one, other = (json.loads((f / "study.json").read_text()) for f in (stored, tmp_path / "out"))
    measured = ("seconds", "created", "ranking")
    assert {k: v for k, v in one.items() if k not in measured} == {
        k: v for k, v in other.items() if k not in measured
    }
