"""Models that cannot be stacked run member by member under the same protocol, with a notice."""

import multiprocessing

import numpy as np
import pytest
import torch

from ravine.population import Member, Population
from ravine.population._single import Single
from ravine.problems import Problem
from ravine.rules import get_rule
from ravine.rules.modifiers import clip_global_norm
from tests.population.making import (
    assert_equal,
    finish,
    member,
    numbers,
    plain,
    squares,
    told,
    uncompiled,
    vectors,
)
from tests.population.models import Branching, Cubed, Forgetful
from tests.reference.rules import Oracle
from tests.reference.training import Trained

NAMES = ("sgd", "momentum", "nesterov", "adam")


def _serial(model, **settings):
    """Return a population and what it said while it was prepared."""
    said = []
    problem = Problem(model, vectors(), batch=16, epochs=12)
    settings = {"workers": 1, "dtype": torch.float64, **settings}
    population = Population(problem, notice=said.append, **settings)
    assert population.slots == 1
    return population, said


def _end(population, one):
    """Train one member and return where it ends."""
    block = population._prepared()
    assert isinstance(block, Single)
    block.put(0, one)
    losses = block.train(population.budget.steps)[:, 0]
    with torch.no_grad(), block._readout(one):
        model = block._model
        parameters = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    block.take_out(0)
    return Trained(parameters, {}, losses)


@pytest.mark.parametrize(
    ("model", "reason"), [(Branching, "data-dependent"), (Cubed, "vmap"), (Forgetful, "random")]
)
def test_notice_says_why(model, reason):
    _, said = _serial(model)
    assert len(said) == 1
    assert said[0].startswith("the model cannot be stacked, so members train one by one")
    assert reason in said[0]


@pytest.mark.parametrize("convention", ["torch", "lecture"])
@pytest.mark.parametrize("model", [Branching, Cubed])
def test_members_equal_the_plain_loop(model, convention):
    population, _ = _serial(model)
    total = population.budget.steps
    for seed, name in enumerate(NAMES):
        one = member(seed, name, seed=seed, convention=convention)
        theirs = plain(population.problem, one, total, total, "cosine")
        assert_equal(_end(population, one), theirs)


def test_modified_rules_equal_the_plain_loop():
    population, _ = _serial(Branching, schedule="linear")
    hypers = {"lr": 0.05, "max_norm": 0.2}
    one = Member(0, "clipped", clip_global_norm(get_rule("momentum")), hypers, 3)
    total = population.budget.steps
    oracle = Oracle("momentum", clip=0.2)
    theirs = plain(population.problem, one, total, total, "linear", oracle=oracle)
    assert_equal(_end(population, one), theirs)


def test_outcomes_equal_those_of_a_block():
    """A model with a function that vmap refuses, and the same model written out."""

    class Stackable(Cubed):
        def forward(self, x):
            return self.last(torch.tanh(self.first(x.flatten(1))) ** 3)

    population, _ = _serial(Cubed)
    members = [member(i, name, seed=i, convention="lecture") for i, name in enumerate(NAMES)]
    ours = finish(population, members, test=True)
    problem = Problem(Stackable, vectors(), batch=16, epochs=12)
    block = uncompiled(problem, workers=1, largest=4, dtype=torch.float64)
    theirs = finish(block, members, test=True)
    for number, outcome in ours.items():
        other = theirs[number]
        assert (outcome.status, outcome.steps) == (other.status, other.steps)
        np.testing.assert_allclose(outcome.curve, other.curve, rtol=1e-9)
        ends = (outcome.test_loss, outcome.test_score), (other.test_loss, other.test_score)
        np.testing.assert_allclose(*ends, rtol=1e-9)


def test_divergence_is_recorded_at_its_step():
    class Line(torch.nn.Module):
        def __init__(self, shape, outputs):
            super().__init__()
            self.line = torch.nn.Linear(6, outputs)

        def forward(self, x):
            return self.line(x) if float(x.detach().sum()) < 1e300 else x

    problem = Problem(Line, numbers(), loss=squares, batch=16, epochs=12, schedule="constant")
    population = Population(problem, workers=1, dtype=torch.float64)
    one, total = member(0, "sgd", 1e6), population.budget.steps
    with np.errstate(all="ignore"):
        losses = plain(problem, one, total, total, "constant", loss=squares).losses
    outcome = finish(population, [one], test=True)[0]
    first = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1
    assert (outcome.status, outcome.diverged_at) == ("diverged", first)


@pytest.mark.parametrize("model", [Branching, Forgetful])
def test_same_bits_in_any_order_and_by_any_worker(model):
    population, _ = _serial(model, dtype=torch.float32)
    members = [member(i, NAMES[i % 4], seed=i % 2) for i in range(6)]
    first = {n: told(o) for n, o in finish(population, members).items()}
    again = {n: told(o) for n, o in finish(population, members[::-1]).items()}
    two, _ = _serial(model, dtype=torch.float32, workers=2)
    shared = {n: told(o) for n, o in finish(two, members).items()}
    assert first == again == shared
    assert multiprocessing.active_children() == []


def test_random_numbers_follow_seed_and_step_and_leave_the_global_ones_alone():
    population, _ = _serial(Forgetful)
    before = torch.get_rng_state()
    losses = [_end(population, member(0, "sgd", seed=seed)).losses for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[0], losses[2])


def test_frozen_and_unused_parameters_stay():
    class Spare(Branching):
        def __init__(self, shape, classes):
            super().__init__(shape, classes)
            self.spare = torch.nn.Parameter(torch.ones(2))
            self.first.weight.requires_grad_(False)

    population, _ = _serial(Spare)
    one = member(0, "momentum")
    end, start = _end(population, one), population.problem.build(0, torch.float64)
    for name in ("spare", "first.weight"):
        assert np.array_equal(end.parameters[name], start.get_parameter(name).detach().numpy())
    moved = end.parameters["first.bias"] - start.get_parameter("first.bias").detach().numpy()
    assert np.abs(moved).max() > 1e-3
