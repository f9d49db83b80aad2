"""The momentum that schedules change, under whatever name a rule's formula has for it."""

import pytest
import torch

import ravine.optim
from ravine.core.errors import SettingError
from ravine.optim import from_rule
from ravine.population._updates import hypers_at
from ravine.rules import all_rules, get_rule, modifiers, rule
from ravine.schedules import TorchSchedule, constant, named_momentum, one_cycle, sequence
from tests.population.making import member

CYCLE = one_cycle(0.5, momentum=(0.7, 0.8))
# Shares that are a mean of squares, a step size per weight or nothing at all are no momentum.
WITHOUT = {
    "sgd": "no state",
    "asgd": "averages weights, not gradients",
    "signsgd@paper": "no state",
    "rprop": "remembers signs and step sizes",
    "adagrad": "sums squares",
    "adadelta": "means of squares",
    "rmsprop": "a mean of squares",
    "rmsprop_centred": "a mean and a mean of squares, for the spread",
}


def _without(rule):
    return rule.name in WITHOUT or f"{rule.name}@{rule.convention}" in WITHOUT


@pytest.mark.parametrize("rule", all_rules(), ids=repr)
def test_every_rule_with_a_momentum_cycles_it_and_nothing_else(rule):
    start = {**rule.hypers, "lr": 0.3}
    own = rule.momentum
    assert (own is None) == _without(rule)
    found = named_momentum(CYCLE, own)(49, 100, {**start, **({own: 0.9} if own else {})})
    assert found == ({"lr": 0.3} if own is None else {"lr": 0.3, own: pytest.approx(0.7)})


@pytest.mark.parametrize("rule", [r for r in all_rules() if r.momentum], ids=repr)
def test_optimizers_of_rules_cycle_their_own_momentum(rule):
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = from_rule(rule)([weight], **{rule.momentum: 0.9})
    seen = []
    scheduler = TorchSchedule(optimizer, CYCLE, 100)
    for _ in range(100):
        seen.append(optimizer.param_groups[0][rule.momentum])
        scheduler._step_count += 1  # torch would warn of steps that the optimizer does not make
        scheduler.step()
    wanted = [float(CYCLE(k, 100, {"lr": 1.0, "momentum": 0.9})["momentum"]) for k in range(100)]
    assert seen == wanted


@pytest.mark.parametrize(
    ("name", "settings", "read"),
    [
        ("SignSGD", {"momentum": 0.9}, lambda g: g["momentum"]),
        ("DAdaptSGD", {"momentum": 0.9}, lambda g: g["momentum"]),
        ("RMSprop", {"momentum": 0.9}, lambda g: g["momentum"]),
        ("Muon", {}, lambda g: g["momentum"]),
        ("Lion", {}, lambda g: g["betas"][0]),
        ("SOAP", {}, lambda g: g["betas"][0]),
        ("SAM", {"base": get_rule("momentum", "textbook")}, lambda g: g["alpha"]),
        ("Lookahead", {"base": get_rule("signsgd", "signum")}, lambda g: g["beta"]),
    ],
)
def test_classes_cycle_their_momentum(name, settings, read):
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = getattr(ravine.optim, name)([weight], **settings)
    TorchSchedule(optimizer, CYCLE, 100)
    assert read(optimizer.param_groups[0]) == pytest.approx(0.8)


def test_members_of_a_population_cycle_their_own_momentum():
    class Budget:
        schedule, steps = CYCLE, 100

    one = member(0, "signsgd", 0.1, convention="signum", beta=0.9)
    assert hypers_at(one, 49, Budget)["beta"] == pytest.approx(0.7)


def test_a_momentum_survives_modifiers():
    for name, convention in (("momentum", "textbook"), ("adam", "optax"), ("lion", None)):
        plain = get_rule(name, convention)
        assert modifiers.clip_norm(modifiers.ema(plain)).momentum == plain.momentum


def test_a_rule_of_one_s_own_declares_it_by_its_alias():
    def averaged(w, g, m, *, lr=0.1, keep=0.9):
        m = keep * m + (1 - keep) * g
        return w - lr * m, m

    assert rule(state=("m",))(averaged).momentum is None
    assert rule(state=("m",), aliases={"keep": "momentum"})(averaged).momentum == "keep"


def test_schedules_of_one_s_own_may_use_either_name():
    def halved(step, total, base):
        return {"momentum": base["momentum"] / 2}

    def by_formula(step, total, base):
        return {"mu": base["mu"] / 2}

    for schedule in (halved, by_formula, sequence(halved, constant, at=[5])):
        found = named_momentum(schedule, "mu")(0, 10, {"lr": 0.3, "mu": 0.5})
        assert found["mu"] == 0.25
        assert "momentum" not in found


def test_a_momentum_under_two_names_is_refused():
    def both(step, total, base):
        return {name: value / 2 for name, value in base.items()}

    with pytest.raises(SettingError, match=r"momentum and mu are one .* got both"):
        named_momentum(both, "mu")(0, 10, {"lr": 0.3, "mu": 0.5})
