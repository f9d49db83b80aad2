"""A member's outcome is the same to the last bit, whatever runs beside it, wherever and whenever.

Widths are odd on purpose: matrices of different slots then lie at different alignments, and a
matrix library left to itself chooses its way through a product by the alignment. `BatchNorm1d`
is among the layers of the compiled blocks only: uncompiled, torch folds slots and channels into
one axis, whose last few entries it sums in another order.
"""

import numpy as np
import pytest

from ravine.population import Population
from ravine.problems import Problem
from tests.population.making import EIGHT, finish, images, member, told, uncompiled, vectors
from tests.population.models import batchnorm2d, everything, without_batchnorm

RATES = (1e-3, 0.1, 1e6)


def _members(count):
    """Return members of all rules, seeds and rates; some diverge."""
    return [
        member(
            i,
            EIGHT[i % 8],
            RATES[i % 3],
            seed=i % 4,
            convention=("torch", "lecture")[i // 8 % 2],
        )
        for i in range(count)
    ]


def _told(population, members, **settings):
    outcomes = finish(population, members, test=True, **settings)
    assert outcomes.keys() == {one.id for one in members}
    return {number: told(outcome) for number, outcome in outcomes.items()}


def _shuffled(members, seed=0):
    return [members[i] for i in np.random.default_rng(seed).permutation(len(members))]


@pytest.fixture(scope="module")
def problem():
    return Problem(everything, vectors(150, 5), batch=16, epochs=3)


@pytest.fixture(scope="module")
def compiled(problem):
    """Five compiled slots in one process."""
    said = []
    population = Population(problem, largest=5, workers=1, notice=said.append)
    assert (population.slots, said) == (5, [])
    return population


@pytest.fixture(scope="module")
def expected(compiled):
    """The outcomes of fourteen members that started in order."""
    return _told(compiled, _members(14))


@pytest.mark.parametrize("slots", [1, 2, 5, 33, 48])
def test_order_and_neighbours_do_not_matter(slots):
    problem = Problem(without_batchnorm, vectors(150, 5), batch=16, epochs=3)
    population = uncompiled(problem, largest=slots, workers=1)
    assert population.slots == slots
    members = _members(14 if slots < 33 else 60)
    in_order = _told(population, members)
    assert {"'diverged'" in text for text in in_order.values()} == {False, True}
    assert _told(population, _shuffled(members)) == in_order
    for one in members[3:14:5]:
        assert _told(population, [one]) == {one.id: in_order[one.id]}


@pytest.mark.parametrize(
    ("model", "batch"), [("mlp:33,7", 16), ("mlp:13:tanh", 1), ("linear", 11), (batchnorm2d, 9)]
)
def test_other_models_and_batches(model, batch):
    data = images(150, 5) if model is batchnorm2d else vectors(150, 25)
    population = uncompiled(Problem(model, data, batch=batch, epochs=1), largest=7, workers=1)
    members = _members(16)
    assert _told(population, _shuffled(members)) == _told(population, members)


def test_compiled_in_any_order_and_alone(compiled, expected):
    members = _members(14)
    assert _told(compiled, _shuffled(members)) == expected
    for one in members[2:14:5]:
        assert _told(compiled, [one]) == {one.id: expected[one.id]}


def test_same_members_give_the_same_numbers_again(compiled, expected):
    assert _told(compiled, _members(14)) == expected


def test_two_workers_give_the_numbers_of_one(problem, compiled, expected):
    population = Population(problem, largest=10, workers=2)
    population._block = compiled._prepared()  # compiled once is enough
    assert _told(population, _members(14)) == expected
    assert _told(population, _shuffled(_members(14), 1)) == expected


def test_a_diverging_neighbour_changes_nothing(compiled):
    calm = [member(i, name, seed=i) for i, name in enumerate(("momentum", "adam", "nesterov"))]
    wild = [member(10 + i, "sgd", 1e6, seed=i) for i in range(2)]
    together = _told(compiled, [wild[0], *calm, wild[1]])
    assert all("'diverged'" in together[one.id] for one in wild)
    alone = _told(compiled, calm)
    assert {number: together[number] for number in alone} == alone


def test_ends_do_not_depend_on_what_else_is_asked(compiled, expected):
    """Members that diverge end beside members that finish, or not: neither gets test scores."""
    outcomes = finish(compiled, _members(14), test=True)
    diverged = [o for o in outcomes.values() if o.status == "diverged"]
    assert diverged
    assert all(np.isnan([o.test_loss, o.test_score]).all() for o in diverged)
    untested = finish(compiled, _members(14))
    for number, outcome in untested.items():
        assert np.isnan([outcome.test_loss, outcome.test_score]).all()
        assert outcome.val_loss == outcomes[number].val_loss or outcome.status == "diverged"


def test_rates_are_the_same_in_any_stretch_of_steps(compiled):
    """A member's schedule is computed for stretches that its neighbours decide on."""
    schedule, total = compiled.budget.schedule, 997
    whole = schedule(np.arange(total), total, {"lr": 0.1})["lr"]
    for start in range(0, 900, 13):
        for length in (1, 2, 3, 7, 8, 50):
            steps = np.arange(start, start + length)
            parts = schedule(steps[:, None], total, {"lr": np.full(3, 0.1)})["lr"]
            assert (parts == whole[steps][:, None]).all()
