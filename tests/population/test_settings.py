"""Bad settings and members are errors at the moment they are given."""

import numpy as np
import pytest
import torch

from ravine.core.errors import SettingError
from ravine.population import Member, Population
from ravine.problems import Problem
from ravine.rules import get_rule
from tests.population.making import finish, member, told, uncompiled, vectors


@pytest.fixture(scope="module")
def problem():
    return Problem("linear", vectors(), batch=16, epochs=3)


@pytest.fixture(scope="module")
def population(problem):
    return uncompiled(problem, largest=2, workers=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory_gb": 0}, "memory_gb must be a number > 0, got 0"),
        ({"memory_gb": -1.0}, "memory_gb must be a number > 0, got -1.0"),
        ({"memory_gb": float("nan")}, "memory_gb must be a number > 0, got nan"),
        ({"memory_gb": float("inf")}, "memory_gb must be a number > 0, got inf"),
        ({"memory_gb": "2"}, "memory_gb must be a number > 0, got '2'"),
        ({"memory_gb": True}, "memory_gb must be a number > 0, got True"),
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"epochs": 1.5}, "epochs must be an integer >= 1, got 1.5"),
        ({"epochs": True}, "epochs must be an integer >= 1, got True"),
        ({"batch": 0}, "batch must be an integer >= 1, got 0"),
        ({"batch": 100}, "batch must be <= 77, the training rows of vectors, got 100"),
        ({"batch": "all"}, "batch must be an integer >= 1, got 'all'; 'full' takes"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
        ({"schedule": 3}, "schedule '3': unknown schedule '3'"),
        ({"dtype": torch.float16}, "dtype must be torch.float32 or torch.float64, got torch.fl"),
        ({"dtype": "float32"}, "dtype must be torch.float32 or torch.float64, got 'float32'"),
        ({"workers": 0}, "workers must be an integer >= 1, got 0"),
        ({"workers": 1.5}, "workers must be an integer >= 1, got 1.5"),
        ({"largest": 0}, "largest must be an integer >= 1, got 0"),
        ({"states": -1}, "states must be an integer >= 0, got -1"),
    ],
)
def test_bad_settings(problem, settings, message):
    with pytest.raises(SettingError) as error:
        Population(problem, **settings)
    assert str(error.value).startswith(message)


def test_unknown_setting(problem):
    with pytest.raises(TypeError, match="memory"):
        Population(problem, memory=2)


def test_integers_of_numpy_are_integers(problem):
    population = Population(problem, epochs=np.int64(2), batch=np.int32(16), workers=np.int64(1))
    assert population.budget.steps == 2 * 4


@pytest.mark.parametrize(
    ("hypers", "message"),
    [
        ({"momentum": 0.9}, "unknown setting of adam 'momentum'"),
        ({"lr": 0}, "adam: lr must be > 0, got 0"),
        ({"lr": -1e-3}, "adam: lr must be > 0, got -0.001"),
        ({"beta1": "0.9"}, "adam: beta1 must be a number, got '0.9'"),
    ],
)
def test_bad_hyper_parameters(hypers, message):
    with pytest.raises(SettingError, match=message.replace("(", r"\(")):
        Member(0, "adam", get_rule("adam"), hypers, 0)


@pytest.mark.parametrize("seed", [-1, 0.5, "0", True])
def test_bad_seed(seed):
    with pytest.raises(SettingError, match="seed must be an integer >= 0, got"):
        Member(0, "sgd", get_rule("sgd"), {"lr": 0.1}, seed)


def test_hyper_parameters_left_out_take_defaults_and_aliases_are_understood():
    one = Member(0, "momentum", get_rule("momentum"), {"momentum": 0.5}, 0)
    assert one.hypers == {"lr": 1e-3, "mu": 0.5, "dampening": 0.0}


def test_two_members_of_one_id(population):
    with pytest.raises(SettingError, match="members must have ids of their own, got 1 twice"):
        population.run([member(0), member(1), member(1, "adam")])


def test_a_rule_with_more_states_than_there_is_room_for(problem, population):
    message = "states must be >= 3, what amsgrad keeps per weight, got 2"
    one = Member(0, "amsgrad", get_rule("amsgrad"), {"lr": 0.01}, 0)
    with pytest.raises(SettingError, match=message):
        population.run([one])
    with pytest.raises(SettingError, match=message):
        population.time_step([get_rule("amsgrad")])
    roomy = uncompiled(problem, largest=2, workers=1, states=3)
    assert finish(roomy, [one])[0].status == "ok"


def test_one_run_at_a_time_in_one_process(population):
    first = population.run([member(0), member(1, seed=1)])
    next(first)
    with pytest.raises(RuntimeError, match="exhaust or close it first"):
        next(population.run([member(2)]))
    with pytest.raises(RuntimeError, match="exhaust or close it first"):
        population.time_step([get_rule("sgd")])
    ended = [outcome.member.id for progress in first for outcome in progress.finished]
    assert sorted(ended) == [0, 1]


def test_a_run_that_is_abandoned_leaves_the_block_as_new(population):
    members = [member(i, name, seed=i) for i, name in enumerate(("adam", "momentum", "sgd"))]
    expected = {n: told(o) for n, o in finish(population, members).items()}
    run = population.run(members[::-1])
    next(run)
    run.close()
    assert {n: told(o) for n, o in finish(population, members).items()} == expected


def test_no_members_no_progress(population):
    assert list(population.run([])) == []


def test_timing_a_step_changes_no_result(population):
    members = [member(0, "adam"), member(1, "momentum", seed=1)]
    before = {n: told(o) for n, o in finish(population, members).items()}
    assert 0 < population.time_step([get_rule("sgd"), get_rule("adam")]) < 1
    assert {n: told(o) for n, o in finish(population, members).items()} == before
