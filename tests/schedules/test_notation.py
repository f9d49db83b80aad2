"""Schedules by their text."""

import pickle

import pytest

from ravine.core.errors import SettingError
from ravine.schedules import (
    ReduceOnPlateau,
    constant,
    cosine,
    cosine_restarts,
    cosine_to,
    describe,
    exponential_decay,
    get_schedule,
    inverse_time_decay,
    linear,
    linear_to,
    multi_step_decay,
    one_cycle,
    polynomial_decay,
    product,
    schedule_names,
    sequence,
    step_decay,
    warmup,
    warmup_stable_decay,
)
from ravine.schedules._notation import schedule_text
from tests.schedules.driving import EVERY_KIND, rates

TEXTS = {
    "constant": constant,
    "linear": linear,
    "linear:0.1": linear_to(0.1),
    "cosine": cosine,
    "cosine:1e-2": cosine_to(0.01),
    "step:30": step_decay(30),
    "step:0.3:0.5": step_decay(0.3, 0.5),
    "multistep:50": multi_step_decay([50]),
    "multistep:0.5,0.75:0.3": multi_step_decay([0.5, 0.75], 0.3),
    "exponential:0.99": exponential_decay(0.99),
    "inverse:0.1": inverse_time_decay(0.1),
    "polynomial": polynomial_decay(),
    "polynomial:2": polynomial_decay(2),
    "warmup:10": warmup(10),
    "warmup:0.1:0.5": warmup(0.1, 0.5),
    "restarts:10": cosine_restarts(10),
    "restarts:0.1:2:0.01": cosine_restarts(0.1, 2, 0.01),
    "onecycle": one_cycle(),
    "onecycle:0.4:0.1:0.001:linear:3:0.7,0.9": one_cycle(0.4, 0.1, 1e-3, "linear", 3, (0.7, 0.9)),
    "onecycle:0.3:0.04:4e-06:cosine:2:none": one_cycle(momentum=None),
    "wsd": warmup_stable_decay(),
    "wsd:0.1:0.2:sqrt": warmup_stable_decay(0.1, 0.2, "sqrt"),
    "warmup:10+cosine": sequence(warmup(10), cosine),
    "warmup:10+warmup:0.2:0.3+cosine": sequence(warmup(10), warmup(0.2, 0.3), cosine, at=[10, 30]),
    "constant@0.5+warmup:10+linear": sequence(constant, warmup(10), linear, at=[50, 60]),
    "warmup:10*step:30:0.1": product(warmup(10), step_decay(30)),
    "warmup:10*step:30@40+cosine:0.1": sequence(
        product(warmup(10), step_decay(30)), cosine_to(0.1), at=[40]
    ),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stand_for_schedules(text):
    base = {"lr": 0.3, "mu": 0.9}
    for step in range(101):
        assert get_schedule(text)(step, 100, base) == TEXTS[text](step, 100, base)


@pytest.mark.parametrize("schedule", [*TEXTS.values(), *EVERY_KIND.values()])
def test_schedules_are_written_as_they_are_read(schedule):
    text = describe(schedule)
    again = get_schedule(text)
    assert describe(again) == text
    assert rates(again, 100, 0.3).tolist() == rates(schedule, 100, 0.3).tolist()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (" warmup:100 + cosine ", "warmup:100+cosine"),
        ("constant @ 0.5 + step : 30 : 0.5", "constant@0.5+step:30:0.5"),
        ("multistep:0.5, 0.75 * linear", "multistep:0.5,0.75*linear"),
        ("warmup:1e2+cosine", "warmup:100+cosine"),
        ("step:1.5E2", "step:150"),
    ],
)
def test_spaces_and_exponents_are_read(text, plain):
    assert get_schedule(text) == get_schedule(plain)


@pytest.mark.parametrize("schedule", [*TEXTS.values(), *EVERY_KIND.values()])
def test_schedules_have_a_text_that_makes_them_again(schedule):
    assert get_schedule(schedule_text(schedule)) == schedule


def cosine_of_my_own(step, total, base):
    return {"lr": base["lr"]}


cosine_of_my_own.__name__ = "cosine"


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (cosine_of_my_own, "must be one that a text can name, .* got cosine; functions of your"),
        (lambda step, total, base: {}, "must be one that a text can name, .* got <lambda>"),
        (product(cosine, sequence(warmup(9), linear)), r"got cosine\*\(warmup:9\+linear\); "),
        (ReduceOnPlateau(), "reduce-on-plateau, which needs the metric"),
        (warmup, "must be a function"),
    ],
)
def test_schedules_without_a_text_are_refused(schedule, message):
    with pytest.raises(SettingError, match=message):
        schedule_text(schedule)


@pytest.mark.parametrize("combined", [sequence, product])
def test_values_that_the_base_lacks_are_refused(combined):
    def odd(step, total, base):
        return {"foo": 1.0}

    schedule = combined(warmup(2), odd)
    with pytest.raises(SettingError, match="hyper-parameter, which odd returns, 'foo'; Known: lr"):
        schedule(3, 10, {"lr": 1.0})


def test_nested_sequences_are_shown_but_have_no_text():
    schedule = product(sequence(warmup(10), cosine), linear)
    assert describe(schedule) == "(warmup:10+cosine)*linear"
    with pytest.raises(SettingError, match="unknown schedule '\\(warmup'"):
        get_schedule(describe(schedule))


def test_every_name_is_tried():
    assert {text.split(":")[0] for text in TEXTS if "+" not in text} >= set(schedule_names())


def test_schedules_pass_and_are_stored():
    assert get_schedule(cosine) is cosine
    for schedule in EVERY_KIND.values():
        again = pickle.loads(pickle.dumps(schedule))
        assert rates(again, 70).tolist() == rates(schedule, 70).tolist()


@pytest.mark.parametrize("name", ["cosin", "Cosine", "cos ine", None, 3, ["cosine"]])
def test_unknown_schedules(name):
    with pytest.raises(SettingError, match=r"unknown schedule .*Known: constant, cosine, "):
        get_schedule(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step", r"step must be given 1 to 2 arguments, as in step:EVERY\[:FACTOR\], got 'step'"),
        ("cosine:0.1:2", r"schedule 'cosine:0.1:2': cosine must be given at most 1 argument, as"),
        ("constant:1", "constant must be given no arguments, as in constant, got 'constant:1'"),
        ("exponential", "exponential must be given 1 argument, as in exponential:FACTOR"),
        ("step:30:", "got 'step:30:'; write for example step:0.3:0.1"),
        ("step:0", r"schedule 'step:0': every must be .* got 0; write for example 30 or 0.3"),
        ("step:1.5", r"every must be a number of steps, an integer >= 1, or a share of .*got 1.5"),
        ("step:often", "every must be .* got 'often'"),
        ("step:30:-0.1", "factor must be > 0, got -0.1"),
        ("step:nan", "every must be .* got nan"),
        ("cosine:2", r"end must be a share of the base value in \[0, 1\], got 2"),
        ("multistep:60,30", r"at must rise, .* got \[60, 30\]; write \[30, 60\]"),
        ("multistep:30,0.6", r"at must rise, all in steps or all in shares, got \[30, 0.6\]"),
        ("multistep:30,30", r"at must rise"),
        ("multistep:,30", "at must be a number of steps"),
        ("exponential:0", "factor must be > 0, got 0"),
        ("inverse:inf", "rate must be a finite number, got inf"),
        ("polynomial:-1", "power must be > 0, got -1"),
        ("warmup:10:0", "start must be > 0 and <= 1, got 0"),
        ("restarts:10:1.5", "growth must be an integer >= 1, got 1.5"),
        ("onecycle:1", "rise must be a share of all steps, > 0 and < 1, got 1"),
        ("onecycle:0.6:0.1:0:cosine:3", "rise must be .* <= 0.5 in three phases, got 0.6"),
        ("onecycle:0.3:0.1:0:square", "shape must be 'cosine' or 'linear', got 'square'"),
        ("onecycle:0.3:0.1:0:cosine:4", "phases must be 2 or 3, got 4"),
        ("onecycle:0.3:0.1:0:cosine:2:0.9,0.8", r"momentum must be .* got \(0.9, 0.8\)"),
        ("onecycle:0.3:0.1:0:cosine:2:0.9", r"momentum must be .* got 0.9; write \(0.85, 0.95\)"),
        ("wsd:0.1:0.2:cube", "shape must be 'linear' or 'sqrt', got 'cube'"),
        ("warmup:10+cosin", "schedule 'warmup:10.cosin': unknown schedule 'cosin'; did you mean"),
        ("constant+cosine", "at must say where constant ends, since only a warm-up has a length"),
        ("cosine@0.5", r"'@0.5' behind cosine must be followed by the next part"),
        ("constant@half+cosine", "the step behind @ must be a number of steps, .* got 'half'"),
        ("warmup:10+", r"schedule 'warmup:10\+': a part is missing: write .* Known: constant, "),
        ("warmup:10**cosine", "a part is missing"),
        ("", "schedule '': a part is missing"),
        ("  ", "a part is missing"),
        ("step:1.5e0", "every must be .* got 1.5"),
    ],
)
def test_bad_texts(text, message):
    with pytest.raises(SettingError, match=message):
        get_schedule(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sequence(cosine), "sequence must be given at least 2 schedules, got 1"),
        (product, "product must be given at least 2 schedules, got 0"),
        (lambda: sequence(cosine, linear), "at must say where cosine ends"),
        (lambda: sequence(cosine, linear, at=[1, 2]), "1 in all, got [1, 2]"),
        (lambda: sequence(cosine, linear, at=0.5), "at must be a list of steps, got 0.5"),
        (lambda: sequence(cosine, linear, at=[]), "at must be a list of steps, got []"),
        (lambda: product(warmup, cosine), "schedule must be a function (step, total, base)"),
        (lambda: product("warmup:10", cosine), "got 'warmup:10'"),
        (lambda: multi_step_decay(30), "at must be a list of steps, got 30"),
        (lambda: step_decay(True), "every must be a number of steps"),
        (lambda: one_cycle(momentum="0.8"), "momentum must be the lowest and the highest"),
    ],
)
def test_bad_schedules(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "total", "message"),
    [
        ("warmup:100+cosine", 100, "must begin one after another within 100 steps, got [0, 100]"),
        ("constant@60+cosine@50+linear", 100, "got [0, 60, 50]; give shares of all steps"),
        ("wsd:60:50", 100, "must be no longer than the run of 100 steps together, got 60 + 50"),
        ("cosine", 0, "total must be an integer >= 1, got 0"),
        ("cosine", 9.5, "total must be an integer >= 1, got 9.5"),
    ],
)
def test_runs_too_short_for_their_schedule(text, total, message):
    with pytest.raises(SettingError) as caught:
        get_schedule(text)(0, total, {"lr": 1.0})
    assert message in str(caught.value)


def test_a_base_without_a_rate():
    with pytest.raises(SettingError, match=r"base must hold lr, got \['eta'\]"):
        cosine(0, 10, {"eta": 1.0})
