"""Blocks are sized from a stated budget, and evaluation is cut into pieces that fit it."""

import numpy as np
import pytest
import torch

from ravine.population import Population
from ravine.population._memory import bytes_per_slot, rows_within
from ravine.problems import Problem
from tests.population.making import finish, in_block, member, uncompiled, vectors
from tests.population.models import Branching, batchnorm1d

INPUTS, HIDDEN, CLASSES, BATCH = 6, 40, 3, 32
WEIGHTS = INPUTS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES


@pytest.fixture(scope="module")
def problem():
    return Problem(f"mlp:{HIDDEN}", vectors(), batch=BATCH, epochs=2)


@pytest.mark.parametrize("states", [0, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_of_an_mlp(problem, states, dtype):
    """At least what must be there, and no more than three times of it in activations."""
    size = torch.empty((), dtype=dtype).element_size()
    estimate = bytes_per_slot(problem, BATCH, states, dtype)
    kept = (2 + states) * WEIGHTS * size
    # An input, what the activation and the loss keep of it, per row.
    row = (INPUTS + HIDDEN + CLASSES) * size
    assert row <= estimate.evaluation_row <= 3 * row
    assert kept + BATCH * row <= estimate.training <= kept + 6 * BATCH * row


def test_bytes_grow_with_batch_and_states_as_they_must(problem):
    def bytes_of(rows, states):
        return bytes_per_slot(problem, rows, states, torch.float32).training

    assert bytes_of(BATCH, 3) - bytes_of(BATCH, 2) == 4 * WEIGHTS
    row = bytes_of(2, 2) - bytes_of(1, 2)
    assert bytes_of(64, 2) - bytes_of(32, 2) == pytest.approx(32 * row)


@pytest.mark.parametrize("workers", [1, 2])
def test_slots_shrink_with_the_budget(problem, workers):
    one = bytes_per_slot(problem, BATCH, 2, torch.float32).training
    slots = [
        uncompiled(problem, memory_gb=share * one * workers / 2**30, workers=workers).slots
        for share in (1e9, 20.5, 3.5, 1.1, 0.1)
    ]
    assert slots == [48, 20, 3, 1, 1]


def test_few_members_need_few_slots(problem):
    made = [uncompiled(problem, largest=n, workers=2).slots for n in (1, 2, 5, 500)]
    assert made == [1, 1, 3, 48]


def test_large_models_get_few_slots():
    """Beyond the cache more slots only cost memory."""
    big = Problem("mlp:2000,2000", vectors(), batch=BATCH, epochs=1)
    assert uncompiled(big, workers=1, memory_gb=100).slots == 4


def test_a_tight_budget_changes_no_result():
    problem = Problem(f"mlp:{HIDDEN}", vectors(600), batch=BATCH, epochs=1)
    one = bytes_per_slot(problem, BATCH, 2, torch.float64).training
    members = [member(i, name, seed=i) for i, name in enumerate(("sgd", "adam", "nesterov"))]
    settings = {"dtype": torch.float64, "workers": 1}
    roomy = finish(uncompiled(problem, **settings), members, test=True)
    tight = uncompiled(problem, memory_gb=2.5 * one / 2**30, **settings)
    assert tight.slots == 2
    assert tight._prepared().evaluation_rows < len(problem.evaluation_rows(0, "validation"))
    for number, outcome in finish(tight, members, test=True).items():
        np.testing.assert_allclose(outcome.curve, roomy[number].curve, rtol=1e-12)
        ends = (outcome.test_loss, outcome.test_score)
        np.testing.assert_allclose(ends, (roomy[number].test_loss, roomy[number].test_score))


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("rows", [1, 7, 12, 1000])
def test_evaluation_in_pieces_is_that_in_one(part, rows):
    problem = Problem(batchnorm1d, vectors(), batch=BATCH, epochs=2)
    population = uncompiled(problem, largest=3, workers=1, dtype=torch.float64)
    block = population._prepared()
    in_block(population, [member(i, seed=i) for i in range(3)], 4)
    for slot in range(3):
        block.put(slot, member(slot, seed=slot))
    whole = block.evaluate(part)
    block.evaluation_rows = rows
    np.testing.assert_allclose(block.evaluate(part), whole, rtol=1e-12)
    assert np.isfinite(whole).all()


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_evaluation_in_pieces_of_a_serial_model(rows):
    problem = Problem(Branching, vectors(), batch=BATCH, epochs=2)
    block = Population(problem, workers=1, dtype=torch.float64)._prepared()
    block.put(0, member(0))
    # The model's branch depends on the whole piece: fix it, so that pieces can be compared.
    with torch.no_grad():
        block._model.first.bias.fill_(1e6)
    whole = block.evaluate("test")
    block.evaluation_rows = rows
    np.testing.assert_allclose(block.evaluate("test"), whole, rtol=1e-12)


def test_rows_evaluated_at_once_fit_a_quarter_of_the_budget():
    assert rows_within(4000.0, 10.0) == 100
    assert rows_within(1.0, 10.0) == 1
    assert 1000 * rows_within(1e15, 1000.0) < 2**24  # the cache bounds it too


def test_starts_kept_are_bounded_by_the_slots(problem):
    population = uncompiled(problem, largest=2, workers=1)
    finish(population, [member(i, seed=i) for i in range(5)])
    kept = population._prepared()._start.cache_info()
    assert kept.maxsize == 2
    assert kept.currsize <= 2
