"""Points on which courses and libraries disagree: what each variant does, and what Ravine does."""

import numpy as np
import pytest
import torch

from ravine.optim import SGD, Muon
from ravine.problems import Problem
from ravine.problems._losses import hinge, softmax
from ravine.rules import get_rule, modifiers
from ravine.schedules import TorchSchedule
from ravine.testing._paths import gradient, largest_difference, rates, start
from ravine.testing._steps import reference_path

CONSTANT = [0.03] * 50


def path(rule, lrs=CONSTANT, gradient=gradient, **settings):
    return reference_path(rule, start(), gradient, lrs, rule.check(settings))


@pytest.mark.parametrize("loss", [softmax, hinge])
def test_a_batch_counts_by_its_mean(loss):
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    once, thrice = (float(loss(scores.repeat(n, 1), labels.repeat(n))) for n in (1, 3))
    assert thrice == pytest.approx(once, rel=1e-14)

    def summed(weights, t):
        return [4 * g for g in gradient(weights, t)]

    sgd = get_rule("sgd")
    apart = largest_difference(path(sgd, [0.01] * 50, summed), path(sgd, [0.04] * 50))
    assert apart < 1e-13


def test_velocities_differ_once_the_rate_changes():
    inside, outside = get_rule("momentum", "lecture"), get_rule("momentum", "torch")
    same = largest_difference(path(inside, gamma=0.8), path(outside, mu=0.8))
    changing = rates(0.1, 50)
    apart = largest_difference(path(inside, changing, gamma=0.8), path(outside, changing, mu=0.8))
    assert same < 1e-13
    assert apart > 0.01


def test_the_sign_of_the_velocity_changes_no_weight():
    down, up = get_rule("momentum", "textbook"), get_rule("momentum", "lecture")
    changing = rates(0.1, 50)
    apart = largest_difference(path(down, changing, alpha=0.8), path(up, changing, gamma=0.8))
    assert apart < 1e-14


@pytest.mark.parametrize(
    ("rule", "convention", "alias", "symbol"),
    [
        ("momentum", "torch", "momentum", "mu"),
        ("momentum", "lecture", "momentum", "gamma"),
        ("momentum", "textbook", "momentum", "alpha"),
        ("sgd", "lecture", "eta", "lr"),
        ("momentum", "textbook", "rho", "lr"),
        ("rmsprop", "torch", "alpha", "beta"),
        ("adadelta", "torch", "rho", "rho"),
    ],
)
def test_symbols_are_aliases(rule, convention, alias, symbol):
    assert get_rule(rule, convention).formula_name(alias) == symbol


def test_defaults_of_the_shares_kept():
    assert [get_rule("adam", c).hypers["beta2"] for c in ("torch", "lecture")] == [0.999, 0.999]
    assert get_rule("rmsprop", "lecture").hypers["beta"] == 0.9
    assert get_rule("rmsprop", "torch").hypers["beta"] == 0.99


def test_eps_inside_the_root_is_another_formula():
    outside, inside = get_rule("rmsprop", "torch"), get_rule("rmsprop", "optax")
    given = {"beta": 0.9, "eps": 1e-3}
    assert largest_difference(path(outside, **given), path(inside, **given)) > 0.01


def test_sizes_of_eps():
    found = {c: get_rule("adagrad", c).hypers["eps"] for c in ("torch", "lecture", "optax")}
    assert found == {"torch": 1e-10, "lecture": 1e-8, "optax": 1e-7}
    assert get_rule("adagrad", "optax").hypers["initial_accumulator_value"] == 0.1
    assert get_rule("adam").hypers["eps"] == 1e-8


def test_weight_decay_is_the_gradient_of_half_the_square():
    decayed = modifiers.weight_decay(get_rule("adam"))

    def penalised(weights, t):
        return [g + 2 * (0.1 / 2) * w for w, g in zip(weights, gradient(weights, t), strict=True)]

    apart = largest_difference(
        path(decayed, weight_decay=0.1), path(get_rule("adam"), gradient=penalised)
    )
    assert apart < 1e-13


def test_biases_decay_unless_in_a_group_that_does_not():
    weight, bias, kept = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), 2, 2))
    groups = [{"params": [weight, bias]}, {"params": [kept], "weight_decay": 0.0}]
    optimizer = SGD(groups, lr=0.5, weight_decay=0.5)
    for parameter in (weight, bias, kept):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert [float(p.detach().mean()) for p in (weight, bias, kept)] == [0.75, 0.75, 1.0]


def test_decay_before_or_with_the_step_is_the_same():
    ours = path(get_rule("adamw"), weight_decay=0.1)
    w, theirs = start(), []
    m, v = [np.zeros_like(x) for x in w], [np.zeros_like(x) for x in w]
    for t in range(1, len(CONSTANT) + 1):
        for i, g in enumerate(gradient(w, t)):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            step = m[i] / (1 - 0.9**t) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
            w[i] = w[i] - 0.03 * (step + 0.1 * w[i])
        theirs.append([x.copy() for x in w])
    assert largest_difference(ours, theirs) < 1e-12


def test_the_first_gradient_of_torch_is_not_dampened():
    first = path(get_rule("momentum"), CONSTANT[:1], mu=0.8, dampening=0.3)[0]
    for w, before, g in zip(first, start(), gradient(start(), 1), strict=True):
        np.testing.assert_allclose(w, before - 0.03 * g, rtol=1e-15)


def test_the_first_step_with_and_without_correction():
    def first_step(rule, convention, **settings):
        found = path(get_rule(rule, convention), CONSTANT[:1], **settings)[0]
        return np.abs(found[0] - start()[0]) / CONSTANT[0]

    np.testing.assert_allclose(first_step("adam", "torch", eps=0.0), 1.0, rtol=1e-12)
    # On the first step Yogi's mean square is Adam's.
    plain = {"eps": 0.0, "beta1": 0.9, "beta2": 0.999}
    ratio = (1 - 0.9) / (1 - 0.999) ** 0.5
    np.testing.assert_allclose(first_step("yogi", "paper", **plain), ratio, rtol=1e-12)
    assert ratio == pytest.approx(3.16, abs=0.01)


def test_amsgrad_before_or_after_correction():
    before, after = get_rule("amsgrad", "torch"), get_rule("amsgrad", "optax")
    assert largest_difference(path(before), path(after)) > 0.1
    # A share of 0 leaves nothing to correct.
    assert largest_difference(path(before, beta2=0.0), path(after, beta2=0.0)) < 1e-13


def test_nadam_with_and_without_its_schedule():
    scheduled, constant = get_rule("nadam", "torch"), get_rule("nadam", "optax")
    assert largest_difference(path(scheduled), path(constant)) > 0.1
    assert largest_difference(path(scheduled, momentum_decay=1e6), path(constant)) < 1e-13


def test_scales_of_muon():
    def first_step(shape, adjust):
        weight = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        weight.grad = torch.sin(torch.arange(12.0, dtype=torch.float64)).reshape(shape)
        Muon([weight], lr=1.0, adjust_lr_fn=adjust).step()
        return weight.detach()

    for shape, original, matched in (((4, 3), (4 / 3) ** 0.5, 0.4), ((3, 4), 1.0, 0.4)):
        ratio = first_step(shape, None) / first_step(shape, "match_rms_adamw")
        np.testing.assert_allclose(ratio, original / matched, rtol=1e-12)


def test_centred_rmsprop_rounds_below_zero():
    def steady(weights, t):
        return [np.linspace(0.1, 3.0, w.size).reshape(w.shape) for w in weights]

    ours = path(get_rule("rmsprop_centred"), [0.01] * 400, steady, beta=0.9)[-1]
    weight = torch.nn.Parameter(torch.zeros(12, dtype=torch.float64))
    torchs = torch.optim.RMSprop([weight], alpha=0.9, centered=True)
    for _ in range(400):
        weight.grad = torch.linspace(0.1, 3.0, 12, dtype=torch.float64)
        torchs.step()
    assert any(np.isnan(w).any() for w in ours)
    assert weight.isnan().any()


def test_sgd_is_the_same_rule_for_any_batch():
    # One step of a batch is the mean of its samples' steps: nothing in the rule knows the batch.
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(6, 4))), torch.from_numpy(rng.integers(0, 3, 6))

    def of(rows):
        def found(weights, t):
            w = torch.from_numpy(weights[0]).requires_grad_()
            (g,) = torch.autograd.grad(softmax(x[rows] @ w, y[rows]), w)
            return [g.numpy()]

        return found

    def step(rows):
        first, sgd = [start()[0]], get_rule("sgd")
        return reference_path(sgd, first, of(rows), [0.1], sgd.check({}))[0][0]

    singly = np.mean([step([row]) for row in range(6)], axis=0)
    np.testing.assert_allclose(step(list(range(6))), singly, rtol=1e-13)
    assert np.abs(singly - start()[0]).max() > 1e-3
    # Samples per step are the problem's.
    problem = Problem(model="linear", data="digits")
    assert [problem.order(0, 0, size).shape[1] for size in (1, 8)] == [1, 8]


def test_an_epoch_has_every_row_once():
    problem = Problem(model="linear", data="digits")
    every = np.sort(problem.order(0, 0, 1), axis=None)
    assert len(np.unique(every)) == every.size == problem.order(0, 0, "full").size
    first, second = (problem.order(0, epoch, 8) for epoch in (0, 1))
    assert every.size % 8 > 0
    assert first.shape == second.shape == (every.size // 8, 8)
    assert len(np.unique(first)) == first.size
    assert np.isin(first, every).all()
    assert not np.array_equal(first, second)


def test_steps_of_rules_count_from_one():
    first = path(get_rule("adam"), CONSTANT[:1], eps=0.0)[0]
    for w, before in zip(first, start(), strict=True):
        np.testing.assert_allclose(np.abs(w - before), 0.03, rtol=1e-12)
    # A schedule's first step is 0: the first update has the whole rate, the second half of it.
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = SGD([weight], lr=1.0)
    scheduler = TorchSchedule(optimizer, "exponential:0.5", total_steps=4)
    moved = []
    for _ in range(3):
        before = weight.item()
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        scheduler.step()
        moved.append(before - weight.item())
    assert moved == [1.0, 0.5, 0.25]
