"""Where formulas have a corner: first steps, zero gradients, zero weights, ends of schedules."""

import numpy as np
import pytest
import torch

from ravine.kernels import kernel
from ravine.rules import all_rules, get_rule, reference_readout
from ravine.rules.ademamix import warm_beta
from ravine.rules.radam import averaged_length, rectification
from tests.kernels.cases import Model, kernel_step, name, reference

SHAPES = [(2, 3), (4,), (0,)]
RULES = [rule for rule in all_rules() if rule.ascent is None]


def one_step(rule, weights, grads, **settings):
    """Return a model after one step of the reference."""
    hypers = rule.check(settings)
    model = Model.random(
        rule, np.random.default_rng(0), [w.shape for w in weights], torch.float64, [hypers] * 2
    )
    for ours, w, state in zip(model.weights, weights, model.states, strict=True):
        ours.copy_(w)
        for n, start in rule.init.items():
            if start == "w":
                state[n].copy_(w)
    reference(model, grads, 1)
    return model


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_gradients_of_zero_from_the_start_never_make_a_weight_other_than_finite(rule):
    """A layer that a model does not use yet has them, and what divides by them would be 0 / 0."""
    rng = np.random.default_rng(1)
    hypers = rule.check({})
    by_formula = Model.random(rule, rng, SHAPES, torch.float64, [hypers] * len(SHAPES))
    by_kernel = by_formula.copy()
    compiled = kernel(rule, torch.float64)
    for step in (1, 2, 3):
        seen = 0.0 if step < 3 else 1.0
        grads = [torch.full_like(w, seen) for w in by_formula.weights]
        reference(by_formula, grads, step)
        kernel_step(compiled, [by_kernel], [grads], [step])
    for model in (by_formula, by_kernel):
        assert all(np.isfinite(a).all() for column in model.arrays().values() for a in column)
        for w, state in zip(model.weights, model.states, strict=True):
            assert torch.isfinite(reference_readout(rule, w, state, 3, hypers)).all()


def test_adopt_does_not_move_at_its_first_step():
    w, g = torch.ones(3, dtype=torch.float64), torch.tensor([1e-9, -2.0, 0.0]).double()
    model = one_step(get_rule("adopt"), [w, w], [g, 1e6 * g], lr=1.0)
    for ours, grad, state in zip(model.weights, (g, 1e6 * g), model.states, strict=True):
        assert torch.equal(ours, w)
        assert torch.equal(state["v"], grad**2)
        assert not state["m"].any()


@pytest.mark.parametrize("rule", [r for r in RULES if r.name in ("lars", "lamb")], ids=name)
def test_weights_of_zero_move_although_their_layer_has_no_size(rule):
    w, g = torch.zeros(3, dtype=torch.float64), torch.tensor([1.0, -2.0, 0.5]).double()
    model = one_step(rule, [w, w], [g, torch.zeros_like(g)], lr=0.1, weight_decay=0.1)
    update = torch.sign(g) if rule.name == "lamb" else g
    look_ahead = 1 + rule.hypers["mu"] if rule.convention == "nesterov" else 1.0
    torch.testing.assert_close(model.weights[0], -0.1 * look_ahead * update, rtol=1e-5, atol=0)
    assert not model.weights[1].any()


@pytest.mark.parametrize("beta2", [0.0, 1 / 3, 0.5, 0.6, 0.65, 2 / 3])
@pytest.mark.parametrize("threshold", [4.0, 5.0])
def test_rectification_is_a_number_where_the_second_moment_is_never_long_enough(beta2, threshold):
    for t in (1, 2, 7, 1000):
        length, limit = averaged_length(t, beta2)
        factor = rectification(length, limit, threshold)
        assert np.isfinite(factor)
        if length > threshold:
            assert 0 < factor <= 1


def test_rectification_approaches_one():
    assert rectification(*averaged_length(100_000, 0.999), 5.0) == pytest.approx(1, abs=1e-12)


def test_the_slow_beta_of_ademamix_rises_with_its_half_life():
    steps, start, end = 1000.0, 0.9, 0.9999
    warm = np.array([warm_beta(float(t), start, end, steps) for t in range(1, 1001)])
    half_lives = np.log(0.5) / np.log(warm)
    np.testing.assert_allclose(np.diff(half_lives), np.diff(half_lives)[0], rtol=1e-6)
    assert warm[-1] == end == warm_beta(1.0, start, end, 0.0)
    assert warm_beta(1e9, start, end, steps) == end
    assert np.isfinite(warm_beta(3.0, 0.0, end, steps))


def test_torchs_rprop_stays_and_the_papers_goes_back_where_the_gradient_turns():
    ends = {}
    for convention in ("torch", "paper"):
        rule = get_rule("rprop", convention)
        rows = [rule.check({"lr": 0.1})]
        model = Model.random(rule, np.random.default_rng(0), [(1,)], torch.float64, rows)
        model.weights[0].fill_(1.0)
        for step, g in enumerate((2.0, -3.0, -3.0), start=1):
            reference(model, [torch.tensor([g]).double()], step)
            ends[convention, step] = float(model.weights[0])
    # 0.1 down; then stay or go back; then half of 0.1 up, as the forgotten gradient has no sign.
    assert [ends["torch", s] for s in (1, 2, 3)] == pytest.approx([0.9, 0.9, 0.95])
    assert [ends["paper", s] for s in (1, 2, 3)] == pytest.approx([0.9, 1.0, 1.05])


def test_schedule_frees_readout_is_the_weighted_average_of_its_iterates():
    rule = get_rule("schedule_free_sgd")
    hypers = rule.check({"lr": 0.3, "warmup_steps": 5.0, "r": 1.0})
    rng = np.random.default_rng(2)
    model = Model.random(rule, rng, [(4,)], torch.float64, [hypers])
    iterates, weights = [], []
    for step in range(1, 21):
        reference(model, [model.weights[0] - 1.0], step)
        iterates.append(model.states[0]["z"].numpy().copy())
        weights.append(step * (0.3 * min(step / 5, 1)) ** 2)
    read = reference_readout(rule, model.weights[0], model.states[0], 20, hypers)
    expected = np.average(iterates, axis=0, weights=weights)
    np.testing.assert_allclose(read.numpy(), expected, rtol=1e-12)
    # Gradients are taken at the stored point, beta of the way from z to the average.
    stored = 0.1 * iterates[-1] + 0.9 * expected
    np.testing.assert_allclose(model.weights[0].numpy(), stored, rtol=1e-12)


@pytest.mark.parametrize("rule", [r for r in RULES if r.scalars.get("d")], ids=name)
def test_the_estimated_distance_grows_no_faster_than_told_and_never_falls(rule):
    hypers = rule.check({"d0": 1e-3, "growth_rate": 1.1})
    model = Model.random(rule, np.random.default_rng(3), [(5,)], torch.float64, [hypers])
    estimates = [1e-3]
    for step in range(1, 61):
        reference(model, [model.weights[0] * torch.arange(1.0, 6.0)], step)
        estimates.append(float(model.states[0]["d"]))
    growth = np.array(estimates[1:]) / np.array(estimates[:-1])
    assert growth.min() >= 1
    if rule.name == "prodigy":  # takes its first estimate above d0 whole
        growth = np.delete(growth, np.argmax(growth > 1))
    assert growth.max() == pytest.approx(1.1)
    assert estimates[-1] > 10 * estimates[0]
