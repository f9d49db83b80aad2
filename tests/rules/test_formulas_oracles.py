"""Every formula against its independent NumPy oracle: 100 steps in float64 at hard settings."""

import numpy as np
import pytest
import torch

from ravine.rules import Rule, all_rules, reference_readout
from tests.kernels.cases import STEPS, Model, name, rates, reference
from tests.reference.oracles import ORACLES

SHAPES = [(3, 5), (), (17,), (4, 2, 3)]

# Away from the defaults, so that a term that is dropped or misplaced shows.
HARD = {
    **{"beta": 0.7, "beta1": 0.8, "beta2": 0.95, "beta3": 0.97, "rho": 0.7, "eps": 1e-3},
    **{"mu": 0.8, "gamma": 0.8, "alpha": 0.7, "dampening": 0.3, "momentum_decay": 0.1},
    **{"weight_decay": 0.1, "lr_decay": 0.05, "lambd": 0.5, "t0": 20.0, "eps_root": 1e-2},
    **{"eta_minus": 0.4, "eta_plus": 1.6, "step_min": 0.03, "step_max": 0.3},
    **{"initial_accumulator_value": 0.2, "initial_velocity": 0.05, "trust_coefficient": 0.02},
    **{"warmup": 40.0, "warmup_steps": 17.0, "r": 0.5, "weight_lr_power": 1.5},
    # From the packages' 1e-6 the first distances from the start would be mostly rounding.
    **{"d0": 1e-2, "d_coef": 1.5, "growth_rate": 1.3, "threshold": 4.5},
}
RATE_FREE = ("dadapt_sgd", "dadapt_adam", "prodigy")
# Its oracle has the rate of one step in closed form, which holds while lr stays.
CONSTANT = ("asgd",)

# SAM takes two gradients a step, which a reference step does not; the wrappers' tests have it.
RULES = [rule for rule in all_rules() if rule.ascent is None]


def gradients(rng: np.random.Generator, model: Model, step: int) -> list[torch.Tensor]:
    """Return noisy gradients of a bowl, over four decades, some of them 0; one whole tensor at 40.

    They point at the minimum, without which the estimates of a distance would never grow.
    """
    found = []
    for w in model.weights:
        noise = 0.1 * rng.normal(size=w.shape) * 10.0 ** rng.uniform(-3, 1)
        seen = rng.uniform(size=w.shape) > 0.1
        found.append(torch.from_numpy(np.asarray((w.numpy() + noise) * seen)))
    if step == 40:
        found[2] *= 0
    return found


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_formula_equals_oracle(rule: Rule) -> None:
    oracle = ORACLES[rule.name, rule.convention]
    hypers = rule.check({n: v for n, v in HARD.items() if n in rule.hypers})
    lr = hypers["lr"] = 1.0 if rule.name in RATE_FREE else 0.05
    rng = np.random.default_rng(6)
    model = Model.random(rule, rng, SHAPES, torch.float64, [hypers] * len(SHAPES))
    weights, state = [w.numpy().copy() for w in model.weights], {}
    for step, rate in enumerate([lr] * STEPS if rule.name in CONSTANT else rates(lr), start=1):
        hypers["lr"] = rate
        for row in model.rows:
            row["lr"] = rate
        grads = gradients(rng, model, step)
        plain = [g.numpy().copy() for g in grads]
        reference(model, grads, step)
        weights = oracle.step(weights, lambda _, plain=plain: plain, state, step, **hypers)
        assert_equal(model.weights, weights)
    # What is evaluated; some oracles have nothing to read before the average has started.
    read = [
        reference_readout(rule, w, s, STEPS, hypers)
        for w, s in zip(model.weights, model.states, strict=True)
    ]
    assert_equal(read, oracle.read(weights, state))


def assert_equal(ours: list[torch.Tensor], theirs: list[np.ndarray]) -> None:
    """Compare relative to the largest weight of the model."""
    scale = max(np.abs(other).max() for other in theirs)
    for w, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(w.numpy(), other, rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize("rule", [r for r in RULES if r.name in RATE_FREE], ids=name)
def test_the_estimate_of_the_distance_grows_in_that_test(rule):
    """Its growth is what is hard: an estimate that stays at d0 would agree with anything."""
    hypers = rule.check({n: v for n, v in HARD.items() if n in rule.hypers})
    rng = np.random.default_rng(6)
    model = Model.random(rule, rng, SHAPES, torch.float64, [hypers] * len(SHAPES))
    for step in range(1, 21):
        reference(model, gradients(rng, model, step), step)
    assert float(model.states[0]["d"]) > 5 * hypers["d0"]
