"""What an outcome says: curve, scores, and how a member ended."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from ravine.problems import Problem
from tests.population.making import (
    built_in,
    finish,
    in_block,
    member,
    normalised,
    numbers,
    plain,
    squares,
    uncompiled,
    vectors,
)
from tests.population.models import batchnorm1d


@pytest.fixture(scope="module")
def population():
    """Three slots for a model with BatchNorm, float64."""
    problem = Problem(batchnorm1d, vectors(), batch=16, epochs=15, schedule="linear")
    return uncompiled(problem, largest=3, workers=1, dtype=torch.float64)


@pytest.fixture(scope="module")
def outcomes(population):
    """Five members, so that two wait for a slot."""
    names = ("nesterov", "momentum", "adam", "nesterov", "sgd")
    members = [member(i, n, seed=i, convention="lecture") for i, n in enumerate(names)]
    return finish(population, members, test=True)


@pytest.fixture(scope="module")
def alone(population, outcomes):
    """The same members by the plain loop."""
    total = population.budget.steps
    return {
        number: plain(population.problem, outcome.member, total, total, "linear")
        for number, outcome in outcomes.items()
    }


@pytest.fixture(scope="module")
def exploding():
    """Squared error of a linear model in float64: the loss grows without bound at a high rate."""
    problem = Problem("linear", numbers(), loss=squares, batch=16, epochs=15, schedule="constant")
    return uncompiled(problem, largest=3, workers=1, dtype=torch.float64)


def _first_bad_step(population, one):
    total = population.budget.steps
    with np.errstate(all="ignore"):
        losses = plain(population.problem, one, total, total, "constant", loss=squares).losses
    return int(np.flatnonzero(~np.isfinite(losses))[0]) + 1


def _loaded(problem, end, seed):
    model = problem.build(seed, torch.float64)
    tensors = {**end.parameters, **end.buffers}
    model.load_state_dict({name: torch.as_tensor(value) for name, value in tensors.items()})
    return model.eval()


@torch.no_grad()
def _evaluated(model, problem, seed, part):
    rows = getattr(problem.split(seed), part)
    scores, labels = model(normalised(problem, seed)[rows]), problem.data.y[rows]
    accuracy = (scores.argmax(1) == labels).double().mean()
    return float(cross_entropy(scores, labels)), float(accuracy)


def test_points_of_the_curve(population, outcomes):
    budget = population.budget
    every, total = budget.every, budget.steps
    steps = [*range(0, total, every), total]
    assert 3 <= len(steps) <= 21
    for outcome in outcomes.values():
        assert [point.step for point in outcome.curve] == steps
        epochs = [point.epoch for point in outcome.curve]
        np.testing.assert_allclose(epochs, np.array(steps) / budget.steps_per_epoch, rtol=1e-15)
        assert (outcome.status, outcome.diverged_at, outcome.steps) == ("ok", None, total)
        last = outcome.curve[-1]
        ends = outcome.train_loss, outcome.val_loss, outcome.val_score
        assert ends == (last.train_loss, last.val_loss, last.val_score)


def test_training_loss_is_the_mean_since_the_point_before(outcomes, alone):
    for number, outcome in outcomes.items():
        assert np.isnan(outcome.curve[0].train_loss)
        steps = [point.step for point in outcome.curve]
        means = [alone[number].losses[a:b].mean() for a, b in pairwise(steps)]
        ours = [point.train_loss for point in outcome.curve[1:]]
        np.testing.assert_allclose(ours, means, rtol=1e-9)


def test_validation_at_the_start_is_that_of_the_initial_weights(population, outcomes):
    problem = population.problem
    for outcome in outcomes.values():
        seed = outcome.member.seed
        start = _evaluated(problem.build(seed, torch.float64).eval(), problem, seed, "validation")
        np.testing.assert_allclose(outcome.curve[0][3:], start, rtol=1e-12)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_scores_are_those_of_the_weights_to_evaluate(population, outcomes, alone, part):
    """The plain loop ends at w of the lecture's Nesterov, not at the look-ahead point."""
    problem, short = population.problem, "val" if part == "validation" else "test"
    for number, outcome in outcomes.items():
        seed = outcome.member.seed
        theirs = _evaluated(_loaded(problem, alone[number], seed), problem, seed, part)
        ours = getattr(outcome, f"{short}_loss"), getattr(outcome, f"{short}_score")
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_the_look_ahead_point_would_score_otherwise(population):
    one = member(0, "nesterov", convention="lecture")
    ends = in_block(population, [one], 20)
    theirs = plain(population.problem, one, 20, population.budget.steps, "linear")
    oracle = built_in(one)
    oracle.state = [{"v": np.ones_like(w)} for w in theirs.parameters.values()]
    ahead = oracle.query(list(theirs.parameters.values()))
    for ours, w, other in zip(
        ends[0].parameters.values(), theirs.parameters.values(), ahead, strict=True
    ):
        np.testing.assert_allclose(ours, w, rtol=1e-9, atol=1e-12)
        assert np.abs(ours - other).max() > 0.1


def test_test_columns_are_nan_unless_asked_for(population):
    for outcome in finish(population, [member(0), member(1, "adam")]).values():
        assert outcome.status == "ok"
        assert np.isnan([outcome.test_loss, outcome.test_score]).all()


def test_progress_counts_members_and_steps(population):
    members = [member(i, "momentum", seed=i) for i in range(5)]
    total, done, ended = population.budget.steps, 0, 0
    for progress in population.run(members):
        ended += len(progress.finished)
        done += progress.member_steps
        assert ended + progress.running + progress.waiting == 5
        assert progress.running <= population.slots
        assert progress.seconds > 0
        for outcome in progress.finished:
            assert outcome.member is members[outcome.member.id]
            assert outcome.seconds > 0
    assert (ended, done) == (5, 5 * total)


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_divergence_is_recorded_at_its_step(exploding, name):
    one = member(0, name, 1e6)
    first = _first_bad_step(exploding, one)
    every, total = exploding.budget.every, exploding.budget.steps
    assert every < first < total - every
    calm = member(1, "adam", seed=1)
    outcomes = finish(exploding, [one, calm], test=True)
    wild = outcomes[0]
    assert (wild.status, wild.diverged_at) == ("diverged", first)
    assert wild.steps == -(-first // every) * every  # noticed at the next evaluation
    assert not np.isfinite(wild.train_loss)
    assert np.isnan([wild.test_loss, wild.test_score]).all()
    assert outcomes[1].status == "ok"
    theirs = plain(exploding.problem, calm, total, total, "constant", loss=squares)
    last = theirs.losses[outcomes[1].curve[-2].step :].mean()
    np.testing.assert_allclose(outcomes[1].train_loss, last, rtol=1e-9)


def test_its_slot_goes_to_the_next_member(exploding):
    wild = [member(i, "sgd", 1e6, seed=i) for i in range(3)]
    calm = [member(3 + i, "adam", seed=i) for i in range(3)]
    outcomes = finish(exploding, [*wild, *calm])
    assert [outcomes[i].status for i in range(6)] == ["diverged"] * 3 + ["ok"] * 3
    total = exploding.budget.steps
    for one in calm:
        theirs = plain(exploding.problem, one, total, total, "constant", loss=squares)
        start = outcomes[one.id].curve[-2].step
        ours = outcomes[one.id].train_loss
        np.testing.assert_allclose(ours, theirs.losses[start:].mean(), rtol=1e-9)


def _budget_ending_at(step, **settings):
    """Return a population whose last step is the one before the first loss that is not finite."""
    data = numbers(48)
    settings = {"loss": squares, "schedule": "constant", **settings}
    problem = Problem("linear", data, batch="full", epochs=step, **settings)
    return uncompiled(problem, largest=2, workers=1, dtype=torch.float64)


@pytest.mark.parametrize("validation", [0.2, 0.0])
def test_divergence_in_the_last_step_shows_in_evaluation(validation):
    one = member(0, "sgd", 1e6)
    first = _first_bad_step(_budget_ending_at(40, validation=validation), one)
    population = _budget_ending_at(first - 1, validation=validation)
    outcome = finish(population, [one], test=True)[0]
    assert (outcome.status, outcome.diverged_at, outcome.steps) == ("diverged", *[first - 1] * 2)
    assert not np.isfinite(outcome.test_loss)


def test_no_validation_rows_leave_nan_and_no_divergence():
    problem = Problem("linear", vectors(), batch=16, epochs=2, validation=0.0)
    outcome = finish(uncompiled(problem, largest=1, workers=1), [member(0)], test=True)[0]
    assert outcome.status == "ok"
    points = np.array([point[3:] for point in outcome.curve])
    assert np.isnan(points).all()
    assert np.isfinite([outcome.test_loss, outcome.test_score]).all()


def test_hopeless_members_are_stopped_when_asked(exploding):
    # Just above what the steepest direction bears: the loss grows, and stays finite.
    rising, falling = member(0, "sgd", 1.0), member(1, "sgd", 0.05)
    every, total = exploding.budget.every, exploding.budget.steps
    outcomes = finish(exploding, [rising, falling], test=True, stop_hopeless=True)
    hopeless = outcomes[0]
    assert hopeless.curve[-1].val_loss > hopeless.curve[0].val_loss
    half = next(step for step in range(every, total, every) if 2 * step >= total)
    assert (hopeless.status, hopeless.diverged_at, hopeless.steps) == ("stopped", None, half)
    assert np.isnan([hopeless.test_loss, hopeless.test_score]).all()
    assert outcomes[1].status == "ok"
    kept = finish(exploding, [rising])[0]
    assert (kept.status, kept.steps) == ("ok", total)
    assert kept.val_loss > kept.curve[0].val_loss
    assert kept.curve[: len(hopeless.curve)][1:] == hopeless.curve[1:]
