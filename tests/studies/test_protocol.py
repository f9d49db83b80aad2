"""The phases, their seeds, and what is chosen in them, with outcomes given by formula."""

import math
from itertools import combinations

import numpy as np
import pytest

from ravine.core.errors import SettingError
from ravine.population import Member, Outcome
from ravine.rules import get_rule
from ravine.studies.contestants import contestants
from ravine.studies.protocol import make_plan, rank_rates, rate_grid, run_protocol
from tests.studies.fake import outcome

RATES = r"learning rates \(--lr, rates=\) "


class Trainer:
    """Trains members by formula and remembers them by phase."""

    def __init__(self, behaviour=outcome):
        self.behaviour = behaviour
        self.seen: dict[str, list[Member]] = {}
        self.calls: list[tuple[str, list[Member]]] = []

    def __call__(self, phase, members):
        self.seen.setdefault(phase, []).extend(members)
        self.calls.append((phase, list(members)))
        return [self.behaviour(member, test=phase == "confirm") for member in members]

    def settings(self, phase, optimizer):
        return {m.hypers["lr"] for m in self.seen[phase] if m.optimizer == optimizer}


def test_default_plan_has_the_documented_sizes_on_disjoint_seeds():
    plan = make_plan()
    assert [len(plan.rates), len(plan.tune), len(plan.select), len(plan.confirm)] == [12, 3, 5, 20]
    assert (plan.rates[0], plan.rates[-1]) == (1e-4, 10.0)
    np.testing.assert_allclose(plan.rates, np.logspace(-4, 1, 12), rtol=1e-5)
    for one, other in combinations((plan.tune, plan.select, plan.confirm), 2):
        assert not set(one) & set(other)
    assert plan.members(8) == 8 * (12 * 3 + 3 * 5 + 20)


@pytest.mark.parametrize(
    ("confirm", "sizes"), [(True, (3, 5, 7)), (False, (7, 0, 0))], ids=["confirm", "no confirm"]
)
def test_seeds_sets_the_seeds_of_the_last_phase(confirm, sizes):
    plan = make_plan(seeds=7, confirm=confirm)
    assert (len(plan.tune), len(plan.select), len(plan.confirm)) == sizes


def test_another_base_seed_shares_no_seed():
    one, other = make_plan(seed=0), make_plan(seed=1)
    seeds = [set(p.tune + p.select + p.confirm) for p in (one, other)]
    assert not seeds[0] & seeds[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 1}, "trials must be an integer >= 2, got 1"),
        ({"seeds": 0}, "seeds must be an integer >= 1, got 0"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"rates": [0.1, -0.1]}, RATES + "must be numbers > 0, got -0.1"),
        ({"rates": [math.nan]}, RATES + "must be numbers > 0, got nan"),
        ({"rates": ["0.1"]}, RATES + "must be numbers > 0, got '0.1'"),
        ({"rates": [True]}, RATES + "must be numbers > 0, got True"),
        ({"rates": 0.1}, RATES + "must be a list of numbers > 0, got 0.1"),
        ({"rates": "0.1"}, RATES + "must be a list of numbers > 0, got '0.1'"),
        ({"rates": []}, RATES + "must hold at least one, got none"),
        ({"rates": [0.1], "trials": 3}, "leave it out where " + RATES + "are given"),
        ({"seeds": 2.5}, "seeds must be an integer >= 1, got 2.5"),
        ({"trials": 2.5}, "trials must be an integer >= 2, got 2.5"),
        ({"trials": True}, "trials must be an integer >= 2, got True"),
        ({"seed": "x"}, "seed must be an integer >= 0, got 'x'"),
    ],
)
def test_wrong_plans_are_refused(given, message):
    with pytest.raises(SettingError, match=message):
        make_plan(**given)


def test_numbers_of_numpy_are_numbers():
    plan = make_plan(rates=np.array([0.1, 0.01]), seeds=np.int64(2), seed=np.int64(1))
    assert (plan.rates, plan.confirm) == ((0.01, 0.1), (10_008, 10_009))


@pytest.mark.parametrize("confirm", [True, False])
def test_a_study_may_have_more_seeds_than_base_seeds_are_apart(confirm):
    plan = make_plan(seeds=20_000, confirm=confirm)
    assert len({*plan.tune, *plan.select, *plan.confirm}) == 20_000 + 8 * confirm


def test_every_optimizer_gets_the_same_trials_and_seeds_in_every_phase():
    trainer = Trainer()
    plan = make_plan(trials=9)
    run_protocol(plan, contestants(["sgd", "momentum", "adam"]), "max", trainer)
    for phase, seeds in (("tune", plan.tune), ("select", plan.select), ("confirm", plan.confirm)):
        by_optimizer = {}
        for member in trainer.seen[phase]:
            by_optimizer.setdefault(member.optimizer, []).append(member)
        assert {len(members) for members in by_optimizer.values()} == {
            len(trainer.seen[phase]) // 3
        }
        for members in by_optimizer.values():
            assert {member.seed for member in members} == set(seeds)
    ids = [member.id for members in trainer.seen.values() for member in members]
    assert sorted(ids) == list(range(len(ids)))


def test_the_three_best_are_selected_and_the_best_of_those_is_confirmed():
    trainer = Trainer()
    chosen, extension = run_protocol(make_plan(trials=6), contestants(["sgd"]), "max", trainer)
    # sgd's peak is at 0.1; the neighbours one decade away tie, and the lower rate goes first
    assert trainer.settings("select", "sgd") == {0.1, 0.01, 1.0}
    assert trainer.settings("confirm", "sgd") == {0.1}
    assert (chosen[0].lr, extension) == (0.1, None)
    tune = [0.9 + 0.001 * math.sin(3 * seed) for seed in make_plan().tune]
    select = [0.9 + 0.001 * math.sin(3 * seed) for seed in make_plan().select]
    assert chosen[0].tune_score == pytest.approx(np.mean(tune), abs=1e-12)
    assert chosen[0].select_score == pytest.approx(np.mean(select), abs=1e-12)


def test_selection_overrules_tuning_on_its_own_seeds():
    plan = make_plan(rates=[0.01, 0.1])

    def lucky(member, **_):
        """0.01 is best on the tuning seeds only."""
        luck = 0.2 if member.hypers["lr"] == 0.01 and member.seed in plan.tune else 0.0
        score = {0.01: 0.8, 0.1: 0.9}[member.hypers["lr"]] + luck
        return Outcome(member, val_loss=0.0, val_score=score)

    [chosen], _ = run_protocol(plan, contestants(["sgd"]), "max", Trainer(lucky))
    assert chosen.lr == 0.1
    [tuned], _ = run_protocol(
        make_plan(rates=[0.01, 0.1], confirm=False), contestants(["sgd"]), "max", Trainer(lucky)
    )
    assert tuned.lr == 0.01
    assert math.isnan(tuned.select_score)


def test_direction_min_chooses_the_lowest_score():
    [low], _ = run_protocol(
        make_plan(rates=[0.001, 0.1], confirm=False), contestants(["sgd"]), "min", Trainer()
    )
    assert low.lr == 0.001


def test_a_best_rate_at_the_border_gives_everyone_the_same_extra_trials():
    trainer = Trainer()
    grid = rate_grid(6)
    # adam is best at 1e-3, inside; sgd is made best at 1e-4, the lower end
    peaked = {"sgd": -4.0, "adam": -3.0}

    def behaviour(member, **_):
        off = math.log10(member.hypers["lr"]) - peaked[member.optimizer]
        return Outcome(member, val_loss=0.0, val_score=0.9 - 0.01 * off**2)

    trainer = Trainer(behaviour)
    plan = make_plan(trials=6)
    _, extension = run_protocol(plan, contestants(["sgd", "adam"]), "max", trainer)
    assert extension is not None
    assert "sgd (low)" in extension.reason
    assert "adam" not in extension.reason
    extra = {name: trainer.settings("tune", name) - set(grid) for name in ("sgd", "adam")}
    assert {len(rates) for rates in extra.values()} == {extension.trials} == {4}
    assert max(extra["sgd"]) < grid[0]
    assert all(1e-4 < rate < 1e-2 for rate in extra["adam"])
    tuned = [m for m in trainer.seen["tune"] if m.hypers["lr"] in extra["sgd"] | extra["adam"]]
    assert {m.seed for m in tuned} == set(plan.tune)
    # the extra trials can be selected: sgd's neighbours below 1e-4 beat 1e-3
    assert trainer.settings("select", "sgd") & extra["sgd"]


def test_given_rates_are_not_extended():
    trainer = Trainer()
    plan = make_plan(rates=[1.0, 0.1])  # sgd is best at 0.1, the end of these
    _, extension = run_protocol(plan, contestants(["sgd"]), "max", trainer)
    assert extension is None
    assert trainer.settings("tune", "sgd") == {0.1, 1.0}


def outcomes_at(*seeds: tuple[str, float, float]) -> list[Outcome]:
    rule = get_rule("sgd")
    return [
        Outcome(Member(i, "sgd", rule, {"lr": 1.0}, i), status, val_score=score, val_loss=loss)
        for i, (status, score, loss) in enumerate(seeds)
    ]


def test_a_rate_with_a_failed_seed_ranks_behind_every_rate_without():
    tried = {
        0.1: outcomes_at(("ok", 0.2, 1.0), ("ok", 0.2, 1.0)),
        1.0: outcomes_at(("ok", 0.99, 0.1), ("diverged", math.nan, math.nan)),
        10.0: outcomes_at(("diverged", math.nan, math.nan), ("diverged", math.nan, math.nan)),
    }
    assert rank_rates(tried, "max") == [0.1, 1.0, 10.0]


def test_validation_loss_breaks_ties_then_the_lower_rate():
    tried = {
        0.3: outcomes_at(("ok", 0.9, 0.5)),
        0.2: outcomes_at(("ok", 0.9, 0.4)),
        0.1: outcomes_at(("ok", 0.9, 0.5)),
    }
    assert rank_rates(tried, "max") == [0.2, 0.1, 0.3]


def test_an_optimizer_that_always_fails_goes_through_all_phases():
    def fails(member, **_):
        return Outcome(member, "diverged", diverged_at=1, steps=1)

    trainer = Trainer(fails)
    [chosen], _ = run_protocol(make_plan(trials=2), contestants(["sgd"]), "max", trainer)
    assert [len(trainer.seen[phase]) for phase in ("select", "confirm")] == [15, 20]
    assert math.isnan(chosen.tune_score)


def test_settings_reach_every_optimizer_that_has_them():
    one, two, three = contestants(
        ["momentum", "adam", "sgd"], {"momentum": 0.5, "adam.beta1": 0.8, "eps": 1e-6}
    )
    assert one.hypers["mu"] == 0.5
    assert (two.hypers["beta1"], two.hypers["eps"]) == (0.8, 1e-6)
    assert dict(three.hypers) == dict(get_rule("sgd").hypers)
    assert contestants(["adam"], {"betas[0]": 0.7})[0].hypers["beta1"] == 0.7


def test_a_setting_for_one_optimizer_overrides_one_for_all():
    adam, adamw = contestants(["adam", "adamw"], {"adam.beta1": 0.8, "beta1": 0.7})
    assert (adam.hypers["beta1"], adamw.hypers["beta1"]) == (0.8, 0.7)


def test_conventions_can_meet():
    names = [one.name for one in contestants(["adam", "adam@lecture"])]
    assert names == ["adam", "adam@lecture"]
    assert contestants([get_rule("adam", "lecture")])[0].name == "adam@lecture"
    assert contestants(["adam@torch"])[0].name == "adam"


@pytest.mark.parametrize(
    ("optimizers", "settings", "message"),
    [
        (["adagrd"], {}, "unknown optimizer 'adagrd'; did you mean 'adagrad'"),
        (["adam", "adam"], {}, "'adam' twice"),
        (["adam", "adam@torch"], {}, "'adam' twice"),
        ([], {}, "at least one"),
        (["adam"], {"bete1": 0.5}, "did you mean 'beta1'"),
        (["sgd", "adam"], {"sgd.beta1": 0.5}, "unknown setting of sgd 'beta1'"),
        (["adam"], {"sgd.mu": 0.5}, "unknown optimizer in setting 'sgd.mu' 'sgd'"),
        (["adam"], {"momentum": 0.9}, "unknown setting of the optimizers compared 'momentum'"),
        (["adam"], {"beta1": 1.0}, r"beta1 must be in \[0, 1\), got 1.0"),
        (["adam"], {"lr": 0.1}, "lr cannot be set"),
        (["adam@lecture"], {"eta": 0.1}, "unknown setting"),
        (
            ["sgd", "muon", "sam", "soap", "shampoo@torch"],
            {},
            r"cannot be compared here: muon, because whole .*; soap, shampoo, because whole .*"
            r" train with ravine\.optim\.Muon, ravine\.optim\.SOAP, ravine\.optim\.Shampoo$",
        ),
        (["adam@paper"], {}, "unknown convention of adam 'paper'"),
    ],
)
def test_wrong_contestants_are_refused(optimizers, settings, message):
    with pytest.raises(SettingError, match=message):
        contestants(optimizers, settings)
