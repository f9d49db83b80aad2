"""Every schedule that torch has, against torch's, step by step over whole runs."""

import numpy as np
import pytest
from torch.optim import lr_scheduler as theirs

from ravine.schedules import (
    constant,
    cosine,
    cosine_restarts,
    cosine_to,
    exponential_decay,
    inverse_time_decay,
    linear,
    linear_to,
    multi_step_decay,
    one_cycle,
    polynomial_decay,
    product,
    sequence,
    step_decay,
    warmup,
    warmup_stable_decay,
)
from tests.schedules.driving import rates, rates_of, sgd

# name: (ours, torch's from optimizer, total steps and base rate)
PAIRS = {
    "constant": (constant, lambda o, n, lr: theirs.LambdaLR(o, lambda k: 1.0)),
    "linear": (linear, lambda o, n, lr: theirs.LinearLR(o, 1.0, 0.0, n)),
    "linear to 1/7": (linear_to(1 / 7), lambda o, n, lr: theirs.LinearLR(o, 1.0, 1 / 7, n)),
    "cosine": (cosine, lambda o, n, lr: theirs.CosineAnnealingLR(o, n)),
    "cosine to 0.03": (
        cosine_to(0.03),
        lambda o, n, lr: theirs.CosineAnnealingLR(o, n, eta_min=0.03 * lr),
    ),
    "step": (step_decay(30), lambda o, n, lr: theirs.StepLR(o, 30)),
    "step, every step, upwards": (
        step_decay(1, 1.01),
        lambda o, n, lr: theirs.StepLR(o, 1, 1.01),
    ),
    "step in shares": (
        step_decay(0.03, 0.8),
        lambda o, n, lr: theirs.StepLR(o, max(1, round(0.03 * n)), 0.8),
    ),
    "multi-step": (
        multi_step_decay([1, 30, 31, 800], 0.3),
        lambda o, n, lr: theirs.MultiStepLR(o, [1, 30, 31, 800], 0.3),
    ),
    "exponential": (exponential_decay(0.99), lambda o, n, lr: theirs.ExponentialLR(o, 0.99)),
    "inverse time": (
        inverse_time_decay(0.3),
        lambda o, n, lr: theirs.LambdaLR(o, lambda k: 1 / (1 + 0.3 * k)),
    ),
    "polynomial": (polynomial_decay(), lambda o, n, lr: theirs.PolynomialLR(o, n)),
    "polynomial 0.9": (polynomial_decay(0.9), lambda o, n, lr: theirs.PolynomialLR(o, n, 0.9)),
    "polynomial 3": (polynomial_decay(3), lambda o, n, lr: theirs.PolynomialLR(o, n, 3)),
    "warm-up": (warmup(7, 1 / 3), lambda o, n, lr: theirs.LinearLR(o, 1 / 3, 1.0, 7)),
    "warm-up from 1e-9": (warmup(113, 1e-9), lambda o, n, lr: theirs.LinearLR(o, 1e-9, 1, 113)),
    "warm-up by itself": (warmup(41), lambda o, n, lr: theirs.LinearLR(o, 1 / 41, 1.0, 41)),
    "restarts": (
        cosine_restarts(9),
        lambda o, n, lr: theirs.CosineAnnealingWarmRestarts(o, 9),
    ),
    "growing restarts": (
        cosine_restarts(3, 2, 0.1),
        lambda o, n, lr: theirs.CosineAnnealingWarmRestarts(o, 3, 2, 0.1 * lr),
    ),
    "restarts after every step": (
        cosine_restarts(1, 5),
        lambda o, n, lr: theirs.CosineAnnealingWarmRestarts(o, 1, 5),
    ),
}


@pytest.mark.parametrize("steps", [1, 2, 7, 850])
@pytest.mark.parametrize("lr", [1e-4, 0.3, 10.0])
@pytest.mark.parametrize("name", PAIRS)
def test_rates_are_those_of_torch(name, lr, steps):
    ours, make = PAIRS[name]
    optimizer = sgd(lr)
    wanted = rates_of(optimizer, make(optimizer, steps, lr), steps)
    largest = np.maximum(wanted, lr)  # rates that grow are compared with themselves
    assert (abs(rates(ours, steps, lr) - wanted) <= 1e-12 * largest).all()


ONE_CYCLES = {
    "default": ({}, {}),
    "early": ({"rise": 0.013}, {"pct_start": 0.013}),
    "late": ({"rise": 0.99}, {"pct_start": 0.99}),
    "straight": (
        {"rise": 0.45, "start": 0.1, "end": 1e-3, "shape": "linear"},
        {"pct_start": 0.45, "div_factor": 10.0, "final_div_factor": 100.0}
        | {"anneal_strategy": "linear"},
    ),
    "three phases": (
        {"rise": 0.4, "phases": 3, "momentum": (0.1, 0.99)},
        {"pct_start": 0.4, "three_phase": True, "base_momentum": 0.1, "max_momentum": 0.99},
    ),
    "Smith's": (
        {"rise": 0.5, "phases": 3, "shape": "linear"},
        {"pct_start": 0.5, "three_phase": True, "anneal_strategy": "linear"},
    ),
}


@pytest.mark.parametrize("steps", [3, 7, 10, 850])
@pytest.mark.parametrize("name", ONE_CYCLES)
def test_one_cycle_is_that_of_torch(name, steps):
    ours, settings = ONE_CYCLES[name]
    schedule, base = one_cycle(**ours), {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.1}
    for value in ("lr", "momentum"):
        optimizer = sgd(0.3, momentum=0.9)
        scheduler = theirs.OneCycleLR(optimizer, 0.3, steps, **settings)
        wanted = rates_of(optimizer, scheduler, steps - 1, lambda group, v=value: group[v])
        found = [schedule(k, steps, base)[value] for k in range(steps)]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def _warm_then(later, milestones):
    """Return what makes torch's sequence of a warm-up and other schedulers."""

    def make(o, n, lr):
        first = theirs.LinearLR(o, 1 / 20, 1.0, 20)
        return theirs.SequentialLR(o, [first, *(one(o, n) for one in later)], milestones(n))

    return make


COMPOSED = {
    "warm-up, cosine": (
        sequence(warmup(20), cosine),
        _warm_then([lambda o, n: theirs.CosineAnnealingLR(o, n - 20)], lambda n: [20]),
    ),
    "warm-up, stable, decay": (
        warmup_stable_decay(20, 50),
        _warm_then(
            [
                lambda o, n: theirs.ConstantLR(o, 1.0),
                lambda o, n: theirs.LinearLR(o, 1.0, 0.0, 50),
            ],
            lambda n: [20, n - 50],
        ),
    ),
    "four pieces": (
        sequence(warmup(20), step_decay(30, 0.5), exponential_decay(0.9), linear, at=[20, 90, 100]),
        _warm_then(
            [
                lambda o, n: theirs.StepLR(o, 30, 0.5),
                lambda o, n: theirs.ExponentialLR(o, 0.9),
                lambda o, n: theirs.LinearLR(o, 1.0, 0.0, n - 100),
            ],
            lambda n: [20, 90, 100],
        ),
    ),
    "warm-up times step": (
        product(warmup(20), step_decay(30, 0.5)),
        lambda o, n, lr: theirs.ChainedScheduler(
            [theirs.LinearLR(o, 1 / 20, 1.0, 20), theirs.StepLR(o, 30, 0.5)]
        ),
    ),
    "three factors": (
        product(polynomial_decay(2), exponential_decay(0.999), warmup(0.5, 0.2)),
        lambda o, n, lr: theirs.ChainedScheduler(
            [
                theirs.PolynomialLR(o, n, 2),
                theirs.ExponentialLR(o, 0.999),
                theirs.LinearLR(o, 0.2, 1.0, round(0.5 * n)),
            ]
        ),
    ),
}


@pytest.mark.parametrize("steps", [120, 851])
@pytest.mark.parametrize("name", COMPOSED)
def test_compositions_are_those_of_torch(name, steps):
    ours, make = COMPOSED[name]
    optimizer = sgd(0.3)
    wanted = rates_of(optimizer, make(optimizer, steps, 0.3), steps)
    np.testing.assert_allclose(rates(ours, steps, 0.3), wanted, rtol=0, atol=1e-12)
