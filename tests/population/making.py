"""Small problems, members and populations, and the plain training that a member must equal."""

from math import cos, pi
from unittest import mock

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ravine.population import Member, Population, _population
from ravine.problems import Data
from ravine.rules import get_rule
from tests.reference.rules import Oracle
from tests.reference.training import Trained, train_member

EIGHT = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw")
# A rate at which each rule moves the weights a good deal in fifty steps, and none diverges.
RATES = dict(zip(EIGHT, (0.2, 0.05, 0.05, 0.05, 1.0, 0.005, 0.01, 0.01), strict=True))

SCHEDULES = {
    "constant": lambda lr, k, total: lr,
    "linear": lambda lr, k, total: lr * (1 - k / total),
    "cosine": lambda lr, k, total: lr * (1 + cos(pi * k / total)) / 2,
}


def vectors(rows=120, features=6, classes=3):
    """Return class data of random vectors whose labels can partly be learned."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows, features))
    y = (x @ rng.normal(size=(features, classes)) + rng.normal(size=(rows, classes))).argmax(1)
    return Data("vectors", torch.from_numpy(x), torch.from_numpy(y))


def images(rows=120, side=6, classes=3):
    """Return the same as greyscale images."""
    flat = vectors(rows, side * side, classes)
    return Data("images", flat.x.reshape(rows, 1, side, side), flat.y)


def numbers(rows=120, features=6):
    """Return vectors with one float target each."""
    x = vectors(rows, features).x
    return Data("numbers", x, x @ torch.linspace(-1, 1, features, dtype=torch.float64))


def squares(outputs, targets):
    """Return the mean squared error."""
    return ((outputs - targets) ** 2).mean()


def member(number, name="sgd", lr=None, seed=0, *, convention="torch", **hypers):
    """Return a member that trains with a built-in rule."""
    rate = RATES[name] if lr is None else lr
    return Member(number, name, get_rule(name, convention), {"lr": rate, **hypers}, seed)


def uncompiled(problem, **settings):
    """Return a population that is prepared without the seconds that compiling takes."""
    population = Population(problem, **settings)
    with mock.patch.object(_population, "compiled", lambda function, arguments, notice: function):
        assert population.slots >= 1
    return population


def finish(population, members, **settings):
    """Train members to their end and return their outcomes by id."""
    run = population.run(members, **settings)
    return {outcome.member.id: outcome for progress in run for outcome in progress.finished}


def told(outcome):
    """Return all that an outcome says apart from the time it took, for exact comparison."""
    ends = ("train_loss", "val_loss", "val_score", "test_loss", "test_score")
    values = [getattr(outcome, end) for end in ends]
    points = [tuple(point) for point in outcome.curve]
    # repr keeps every bit of a float, and equals itself for NaN.
    return repr((outcome.status, outcome.diverged_at, outcome.steps, values, points))


def normalised(problem, seed):
    """Return the problem's inputs as the members of a seed see them, float64."""
    split = problem.split(seed)
    return (problem.data.x.double() - split.shift) * split.scale


def built_in(one):
    """Return the oracle of a built-in rule at its defaults."""
    # The course names no decay for Adadelta; Ravine's lecture convention takes the paper's.
    own = {"rho": 0.95} if one.rule is get_rule("adadelta", "lecture") else {}
    return Oracle(one.rule.name, one.rule.convention, **own)


def plain(problem, one, steps, total, schedule, *, oracle=None, model=None, loss=cross_entropy):
    """Train one member alone, by the reference loop.

    Args:
        problem: gives data, order and initial weights.
        one: the member.
        steps: number of steps to make.
        total: number of steps that the schedule is laid out for.
        schedule: its name.
        oracle: the rule; None for the built-in one that the member names.
        model: initial weights, where they are not simply the problem's.
        loss: mean over a batch.
    """
    per_epoch = problem.steps_per_epoch(problem.batch)
    epochs = range(-(-steps // per_epoch))
    order = np.concatenate([problem.order(one.seed, epoch) for epoch in epochs])[:steps]
    rate = SCHEDULES[schedule]
    return train_member(
        problem.build(one.seed, torch.float64) if model is None else model,
        normalised(problem, one.seed),
        problem.data.y,
        order,
        oracle or built_in(one),
        lambda k: rate(one.hypers["lr"], k, total),
        loss,
    )


def in_block(population, members, steps):
    """Train members side by side, one per slot, and return where each ends."""
    block = population._prepared()
    for slot, one in enumerate(members):
        block.put(slot, one)
    block.arrange()
    losses = block.train(steps)
    weights, functions = block._readout(), block.functions
    ends = []
    for slot in range(len(members)):
        parameters, buffers = (
            {name: t[slot].numpy().copy() for name, t in zip(names, tensors, strict=True)}
            for names, tensors in (
                (functions.names, weights),
                (functions.buffer_names, block.buffers),
            )
        )
        ends.append(Trained(parameters, buffers, losses[:, slot]))
        block.take_out(slot)
    return ends


def assert_equal(ours, theirs, *, relative=1e-9):
    """Compare weights, buffers and losses; each tensor relative to its largest entry."""
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=relative)
    for one, other in ((ours.parameters, theirs.parameters), (ours.buffers, theirs.buffers)):
        assert one.keys() == other.keys()
        for name in one:
            off = np.abs(one[name] - other[name]).max()
            assert off <= relative * np.abs(other[name]).max(), (name, off)
