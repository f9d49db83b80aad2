"""State in int8 reaches float32's validation score on Fashion-MNIST.

Paired over seeds: the two trainings of a seed share initial weights and batch order. Equivalent is
what DESIGN's verdict calls so: a 95 % paired t interval inside half a point of accuracy.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import ravine.optim as ours
from ravine.problems import load_data

pytestmark = pytest.mark.data

RULES = {
    "Adam": (ours.Adam, {"lr": 1e-3}),
    "Lion": (ours.Lion, {"lr": 5e-4}),
    "RMSProp": (ours.RMSprop, {"lr": 1e-3}),
    "momentum": (ours.SGD, {"lr": 0.05, "momentum": 0.9}),
}
TRAIN, BATCH = 48_000, 128
MATTERS = 0.5  # points of accuracy


@pytest.fixture(scope="module")
def images():
    named = os.environ.get("RAVINE_TEST_DATA")
    if named is None or not Path(named, "fashion-mnist").is_dir():
        pytest.skip("RAVINE_TEST_DATA names no folder that holds fashion-mnist")
    data = load_data(Path(named, "fashion-mnist"))
    x = data.x[:60_000].float().flatten(1)
    return (x - x[:TRAIN].mean()) / x[:TRAIN].std(), data.y[:60_000].long()


def score(make, settings, images, seed, steps):
    """Return the validation accuracy in per cent after training at a rate that falls to 0."""
    x, y = images
    chance = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    for p in model.parameters():
        nn.init.uniform_(p, -0.05, 0.05, generator=chance)
    optimizer = make(model.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps)
    for _ in range(steps):
        batch = torch.randint(TRAIN, (BATCH,), generator=chance)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return 100 * float((model(x[TRAIN:]).argmax(1) == y[TRAIN:]).float().mean())


def interval(rule, images, seeds, steps):
    """Return the scores of float32 and the 95 % interval of int8's score minus them."""
    make, settings = RULES[rule]
    plain, coded = (
        np.array([score(make, settings | how, images, s, steps) for s in range(seeds)])
        for how in ({}, {"state_dtype": "int8"})
    )
    difference = coded - plain
    half = stats.t.ppf(0.975, seeds - 1) * stats.sem(difference)
    return plain, difference.mean() - half, difference.mean() + half


def test_adams_int8_state_reaches_the_score_of_float32_in_a_short_training(images):
    plain, low, high = interval("Adam", images, seeds=5, steps=300)
    assert plain.min() > 78  # a training that works, so that there is something to lose
    assert max(-low, high) < MATTERS, (low, high)


@pytest.mark.nightly
@pytest.mark.parametrize("rule", RULES)
def test_int8_state_reaches_the_score_of_float32(rule, images, record_property):
    plain, low, high = interval(rule, images, seeds=20, steps=2000)
    record_property("interval", (plain.mean(), low, high))
    assert plain.min() > 85
    assert max(-low, high) < MATTERS, (low, high)
