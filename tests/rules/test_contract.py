"""What a rule must look like, and the errors that say so."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import sympy
import torch

from ravine.core.errors import SettingError
from ravine.rules import (
    Rule,
    all_rules,
    get_rule,
    modifiers,
    norm,
    rule,
    rule_names,
    total,
    trace,
    where,
)


def plain(w, g, *, lr=0.1):
    return w - lr * g


def test_what_a_rule_says_of_itself():
    @rule(
        state=("m",),
        bounds={"beta": "[0, 1)"},
        aliases={"beta": "momentum"},
        state_aliases={"m": "exp_avg"},
        init={"m": ("start", 0.5)},
        paper="Somebody 2020",
    )
    def averaged(w, g, m, *, lr=1, beta=0.9):
        return w - lr * m, beta * m + g

    assert (averaged.name, averaged.convention) == ("averaged", "own")
    assert averaged.hypers == {"lr": 1.0, "beta": 0.9, "start": 0.5}
    assert averaged.init == {"m": "start"}
    assert averaged.formula_name("momentum") == averaged.formula_name("beta") == "beta"
    assert repr(averaged) == "<rule averaged@own>"


def test_rules_are_frozen_equal_only_to_themselves_and_never_copied():
    adam = get_rule("adam")
    assert get_rule("adam") is adam
    assert adam != get_rule("adam", "lecture")
    assert len({adam, copy.deepcopy(adam), get_rule("adam")}) == 1
    assert copy.deepcopy({"rule": adam})["rule"] is adam
    with pytest.raises(FrozenInstanceError):
        adam.name = "other"
    with pytest.raises(TypeError):
        adam.hypers["lr"] = 2.0


def test_built_in_rules_are_pickled_by_name_and_others_refuse():
    for chosen in all_rules():
        assert pickle.loads(pickle.dumps(chosen)) is chosen
    with pytest.raises(pickle.PicklingError, match=r"adam@torch> is not a built-in rule"):
        pickle.dumps(modifiers.maximize(get_rule("adam")))


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (lambda w, g, m, *, lr=1.0: w, {}, r"arguments must be \(w, g\), got \(w, g, m\)"),
        (lambda w, g, *, lr=1.0: w, {"state": ("m",)}, r"must be \(w, g, m\), got \(w, g\)"),
        (lambda w, g, lr=1.0: w, {}, r"must be \(w, g\), got \(w, g, lr\)"),
        (lambda w, g, *, lr=1.0, **rest: w, {}, r"got \(w, g, rest\)"),
        (lambda w, g, *, beta=1.0: w, {}, r"the learning rate lr is missing, such as lr=1e-3"),
        (lambda w, g, *, lr: w, {}, r"lr must have a number as default"),
        (lambda w, g, *, lr=1.0, on=True: w, {}, r"on must have a number as default"),
        (lambda w, g, *, lr=-1.0: w, {}, r"the default of lr must be > 0, got -1.0"),
        (lambda w, g, *, lr=1.0, x0=1.0: w, {}, r"'x0' has another use in kernels; rename it"),
        (lambda w, g, step, *, lr=1.0: w, {"state": ("step",)}, r"'step' has another use"),
        (lambda w, g, tl, *, lr=1.0: w, {"state": ("tl",)}, r"'tl' has another use"),
        (lambda w, g, lr, *, beta=1.0: w, {"state": ("lr",)}, r"learning rate lr is missing"),
        (lambda w, g, m, *, lr=1.0: w, {"state": ("m",), "init": {"m": ("m", 1.0)}}, r"used twice"),
        (lambda w, g, *, lr=1.0: w, {"init": {"m": ("start", 1.0)}}, r"unknown name in rule x 'm'"),
        (lambda w, g, *, lr=1.0: w, {"aliases": {"beta": "b"}}, r"unknown name in rule x 'beta'"),
        (lambda w, g, *, lr=1.0: w, {"bounds": {"lrr": "[0, 1]"}}, r"'lrr'; did you mean 'lr'\?"),
        (lambda w, g, *, lr=1.0: w, {"state_aliases": {"m": "b"}}, r"unknown name in rule x 'm'"),
        (lambda w, g, *, lr=1.0: w, {"bounds": {"lr": "0 to 1"}}, r"must look like '\[0, 1\)'"),
        (lambda w, g, *, lr=1.0: w, {"bounds": {"lr": "[a, b]"}}, r"must hold two numbers"),
        (lambda w, g, *, lr=1.0: w, {"bounds": {"lr": "[1, 0]"}}, r"must rise from left to right"),
        (lambda w, g, *, lr=1.0: w, {"name": "my/rule"}, r"letters, digits.*got 'my/rule'"),
        (lambda w, g, *, lr=1.0: w, {"convention": ""}, r"convention of x must be letters"),
    ],
)
def test_definitions_that_break_the_contract(function, settings, message):
    with pytest.raises(SettingError, match=message):
        rule(**{"name": "x", **settings})(function)


def branch(w, g, *, t, lr=0.1):
    return w - lr * g if t > 1 else w


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (branch, r"rule x: .*cannot be traced.*no Python branches on values"),
        (lambda w, g, *, t, lr=0.1: where(t == 1, w, g), r"the formula uses '=='"),
        (lambda w, g, *, lr=0.1: torch.sin(w), r"use sqrt, where, maximum, norm"),
        (lambda w, g, *, lr=0.1: np.sqrt(w), r"cannot be traced"),
        (lambda w, g, *, lr=0.1: sympy.cos(w), r"cos is not part of a formula"),
        (lambda w, g, *, lr=0.1: w % 2, r"Mod is not part of a formula"),
        (lambda w, g, *, lr=0.1: w > g, r"GreaterThan is not part of a formula"),
        (lambda w, g, *, lr=0.1: None, r"NoneType is not part of a formula"),
        (lambda w, g, *, lr=0.1: (w, g), r"must return w and its states \(w\), got 2 values"),
        (
            lambda w, g, *, lr=0.1: w - norm(g, over="layer"),
            r"over must be 'channel', 'tensor' or 'member'",
        ),
        (lambda w, g, *, lr=0.1: w - total("g", over="member"), r"needs an expression"),
    ],
)
def test_formulas_that_cannot_be_traced(function, message):
    with pytest.raises(SettingError, match=message):
        trace(rule(name="x")(function))


def test_settings_are_checked_by_formula_name_and_by_torchs():
    momentum = get_rule("momentum")
    assert momentum.check({"momentum": 0.5}) == momentum.check({"mu": np.float32(0.5)})
    for wrong, message in [
        ({"momentum": -0.5}, r"momentum: momentum must be >= 0, got -0.5"),
        ({"lr": 0}, r"lr must be > 0, got 0"),
        ({"lr": float("nan")}, r"lr must be > 0, got nan"),
        ({"lr": "0.1"}, r"lr must be a number, got '0.1'"),
        ({"mu": True}, r"mu must be a number, got True"),
        ({"mu": 0.5, "momentum": 0.6}, r"momentum is given twice, also as mu"),
        ({"momentun": 0.9}, r"unknown setting of momentum 'momentun'; did you mean 'momentum'"),
    ]:
        with pytest.raises(SettingError, match=message):
            momentum.check(wrong)
    with pytest.raises(SettingError, match=r"beta1 must be in \[0, 1\), got 1"):
        get_rule("adam").check({"beta1": 1})


def test_modifiers_add_their_settings_once():
    clipped = modifiers.clip_global_norm(modifiers.weight_decay(get_rule("sgd")))
    assert clipped.hypers == {"lr": 1e-3, "weight_decay": 0.0, "max_norm": 1.0}
    with pytest.raises(SettingError, match=r"max_norm must be > 0, got 0"):
        clipped.check({"max_norm": 0})
    with pytest.raises(SettingError, match=r"rule adamw has weight_decay already"):
        modifiers.weight_decay(get_rule("adamw"))
    with pytest.raises(SettingError, match=r"rule sgd has max_norm already"):
        modifiers.clip_global_norm(clipped)
    with pytest.raises(SettingError, match=r"unknown name in rule adam 'beta3'"):
        get_rule("adam").variant("mine", "", hypers={"beta3": 0.1})


def test_registry():
    lessons = ["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"]
    assert [n for n in rule_names() if n in lessons] == lessons
    for name in lessons:
        for convention in ("torch", "lecture"):
            found = get_rule(name, convention)
            assert (found.name, found.convention) == (name, convention)
            assert found.differs
            assert found.paper
    with pytest.raises(SettingError, match=r"unknown optimizer 'adagrd'; did you mean 'adagrad'"):
        get_rule("adagrd")
    with pytest.raises(SettingError, match=r"unknown convention of sgd 'optax'.*lecture, torch"):
        get_rule("sgd", "optax")
    assert get_rule("adan").convention == "paper"


@pytest.mark.parametrize("chosen", all_rules(), ids=repr)
def test_every_built_in_rule_is_declared_completely(chosen: Rule):
    assert set(chosen.bounds) == set(chosen.hypers)
    assert all(chosen.bounds[n].check(n, v) == v for n, v in chosen.hypers.items())
    assert list(trace(chosen).results) == ["w", *chosen.state]
    assert list(trace(chosen).scalars) == list(chosen.scalars)
    assert chosen.differs
    assert chosen.paper
    if chosen.convention == "torch":
        assert set(chosen.state_aliases) == set(chosen.kept)


@pytest.mark.parametrize("word", ["==", "!=", "in"])
def test_comparisons_that_symbols_cannot_decide_are_refused(word):
    def equal(w, g, *, t, lr=1.0):
        return w - (lr if t == 1 else 0.1 * lr) * g

    def unequal(w, g, *, t, lr=1.0):
        return w - (lr if t != 20 else 0.1 * lr) * g

    def inside(w, g, *, t, lr=1.0):
        return w - (lr if t in (1, 2) else 0.1 * lr) * g

    formula = {"==": equal, "!=": unequal, "in": inside}[word]
    with pytest.raises(SettingError, match=rf"the formula uses '{word}', which sees symbols"):
        rule()(formula)
