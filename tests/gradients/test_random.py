"""Models that draw random numbers, often or seldom: seeded, said, and no false alarm."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from tests.gradients.test_sandbox import data, own

SEEDS = 60


def sometimes(draw):
    return own(lambda self, x: self.layer(x.flip(1) if draw(self) else x))


def skipping():
    def forward(self, x):
        return self.layer(x if torch.rand(()) < 0.05 else x + self.skipped(x))

    return own(forward, skipped=nn.Linear(3, 3))


SELDOM = {
    "torch": lambda: sometimes(lambda self: torch.rand(()) < 0.1),
    "python": lambda: sometimes(lambda self: random.random() < 0.05),
    "numpy": lambda: sometimes(lambda self: np.random.rand() < 0.2),  # noqa: NPY002
    "skipped layer": skipping,
    "dropout": lambda: own(lambda self, x: F.dropout(self.layer(x), 0.003)),
}


@pytest.mark.parametrize("name", SELDOM)
def test_seldom_draws_raise_no_alarm_and_are_always_said(name):
    model = SELDOM[name]()
    for seed in range(SEEDS):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        report = check(model, F.cross_entropy, data(), seed=seed)
        assert report.ok and report.checked, report
        assert {one.cause for one in report.findings} >= {"randomness"}, report


OWN = {
    "torch": torch.Generator().manual_seed(3),
    "numpy": np.random.default_rng(3),
    "legacy": np.random.RandomState(3),
    "python": random.Random(3),
}
DRAWS = {
    "torch": lambda source: torch.rand((), generator=source).item(),
    "numpy": lambda source: source.random(),
    "legacy": lambda source: source.rand(),
    "python": lambda source: source.random(),
}


@pytest.mark.parametrize("kind", OWN)
def test_generators_of_modules_are_seeded_and_named(kind):
    model = own(lambda self, x: self.layer(x) * (1 + DRAWS[kind](self.source)), source=OWN[kind])
    report = check(model, F.cross_entropy, data())
    assert report.agrees, report
    (finding,) = report.findings
    assert finding.cause == "randomness" and "draws from source:" in finding.evidence


def test_a_model_that_draws_nothing_is_not_called_random():
    assert check(own(lambda self, x: self.layer(x)), F.cross_entropy, data()).findings == ()
