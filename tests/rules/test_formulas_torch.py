"""Formulas of the torch convention against `torch.optim`: by reference and by kernel, 100 steps."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn, optim

from ravine.kernels import kernel
from ravine.rules import Rule, get_rule, modifiers
from tests.kernels.cases import Model, gradients, kernel_step, rates, reference

SHAPES = [(3, 5), (), (17,)]
BETAS = {"betas": (0.8, 0.95), "eps": 1e-4}
OUR_BETAS = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-4}
LR = 0.05

# Rule, our settings, torch's class, its settings.
PAIRS = [
    ("sgd", {}, optim.SGD, {}),
    (
        "momentum",
        {"mu": 0.8, "dampening": 0.3},
        optim.SGD,
        {"momentum": 0.8, "dampening": 0.3},
    ),
    ("nesterov", {"mu": 0.8}, optim.SGD, {"momentum": 0.8, "nesterov": True}),
    (
        "asgd",
        {"lambd": 0.5, "alpha": 0.6, "t0": 20.0},
        optim.ASGD,
        {"lambd": 0.5, "alpha": 0.6, "t0": 20.0},
    ),
    (
        "rprop",
        {"eta_minus": 0.4, "eta_plus": 1.5, "step_min": 1e-3, "step_max": 0.5},
        optim.Rprop,
        {"etas": (0.4, 1.5), "step_sizes": (1e-3, 0.5)},
    ),
    (
        "adagrad",
        {"lr_decay": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.2},
        optim.Adagrad,
        {"lr_decay": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.2},
    ),
    ("adadelta", {"rho": 0.7, "eps": 1e-3}, optim.Adadelta, {"rho": 0.7, "eps": 1e-3}),
    ("rmsprop", {"beta": 0.7, "eps": 1e-3}, optim.RMSprop, {"alpha": 0.7, "eps": 1e-3}),
    (
        "rmsprop_centred_momentum",
        {"beta": 0.7, "eps": 1e-3, "mu": 0.8},
        optim.RMSprop,
        {"alpha": 0.7, "eps": 1e-3, "momentum": 0.8, "centered": True},
    ),
    ("adam", OUR_BETAS, optim.Adam, BETAS),
    ("amsgrad", OUR_BETAS, optim.Adam, BETAS | {"amsgrad": True}),
    ("adamax", OUR_BETAS, optim.Adamax, BETAS),
    (
        "nadam",
        OUR_BETAS | {"momentum_decay": 0.1},
        optim.NAdam,
        BETAS | {"momentum_decay": 0.1},
    ),
    ("radam", OUR_BETAS, optim.RAdam, BETAS),
]

DECOUPLED = {"adam": optim.AdamW, "nadam": optim.NAdam, "radam": optim.RAdam}


@pytest.fixture(autouse=True)
def double_scalars() -> Iterator[None]:
    """Let torch keep ASGD's eta and NAdam's product in double: both follow the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def assert_follows_torch(rule: Rule, settings: dict, optimizer_class: type, theirs: dict) -> None:
    """Run reference, kernel and torch side by side, at a rate that changes every step."""
    rng = np.random.default_rng(0)
    hypers = rule.check(settings | {"lr": LR})
    by_formula = Model.random(rule, rng, SHAPES, torch.float64, [hypers] * len(SHAPES))
    by_kernel = by_formula.copy()
    compiled = kernel(rule, torch.float64)
    parameters = [nn.Parameter(w.clone()) for w in by_formula.weights]
    optimizer = optimizer_class(parameters, lr=LR, **theirs)
    for step, lr in enumerate(rates(LR), start=1):
        optimizer.param_groups[0]["lr"] = lr
        for row in (*by_formula.rows, *by_kernel.rows):
            row["lr"] = lr
        grads = gradients(rng, by_formula.weights)
        for parameter, g in zip(parameters, grads, strict=True):
            parameter.grad = g.clone()
        optimizer.step()
        reference(by_formula, grads, step)
        kernel_step(compiled, [by_kernel], [grads], [step])
    for model in (by_formula, by_kernel):
        assert_equal(rule, model, optimizer, parameters)


def assert_equal(
    rule: Rule, model: Model, optimizer: optim.Optimizer, parameters: list[nn.Parameter]
) -> None:
    """Compare weights, states and scalars, relative to the largest entry of each tensor."""
    for w, state, parameter in zip(model.weights, model.states, parameters, strict=True):
        pairs = [(w, parameter.detach())]
        kept = optimizer.state[parameter]
        pairs += [(state[n], kept[key]) for n, key in rule.state_aliases.items()]
        for ours, theirs in pairs:
            scale = float(theirs.abs().max())
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize(("name", "settings", "optimizer_class", "theirs"), PAIRS)
def test_formula_equals_torch(name, settings, optimizer_class, theirs):
    assert set(get_rule(name).state_aliases) == set(get_rule(name).kept)
    assert_follows_torch(get_rule(name), settings, optimizer_class, theirs)


@pytest.mark.parametrize(("name", "settings", "optimizer_class", "theirs"), PAIRS)
def test_formula_with_decay_ascending_equals_torch(name, settings, optimizer_class, theirs):
    rule = modifiers.maximize(get_rule(name))
    if name != "rprop":  # torch's has no decay
        rule = modifiers.maximize(modifiers.weight_decay(get_rule(name)))
        settings, theirs = settings | {"weight_decay": 0.1}, theirs | {"weight_decay": 0.1}
    assert_follows_torch(rule, settings, optimizer_class, theirs | {"maximize": True})


def test_rprop_waits_like_torch_while_a_gradient_is_nan():
    rule, rng, shapes = get_rule("rprop"), np.random.default_rng(1), [(3, 5), (17,)]
    rows = [rule.check({"lr": LR})] * len(shapes)
    by_formula = Model.random(rule, rng, shapes, torch.float64, rows)
    by_kernel = by_formula.copy()
    parameters = [nn.Parameter(w.clone()) for w in by_formula.weights]
    optimizer = optim.Rprop(parameters, lr=LR)
    compiled = kernel(rule, torch.float64)
    for step in range(1, 11):
        grads = gradients(rng, by_formula.weights)
        for parameter, g in zip(parameters, grads, strict=True):
            # In the first step and later, once and several times in a row.
            g[torch.from_numpy(rng.random(g.shape) < 0.4)] = np.nan
            parameter.grad = g.clone()
        optimizer.step()
        reference(by_formula, grads, step)
        kernel_step(compiled, [by_kernel], [grads], [step])
        for model in (by_formula, by_kernel):
            for w, state, parameter in zip(model.weights, model.states, parameters, strict=True):
                kept = optimizer.state[parameter]
                assert torch.equal(w, parameter.detach())
                assert torch.equal(state["step_size"], kept["step_size"])
                assert torch.equal(state["previous"].isnan(), kept["prev"].isnan())


@pytest.mark.parametrize("name", DECOUPLED)
def test_formula_with_decoupled_decay_equals_torch(name):
    rule = modifiers.decoupled_weight_decay(get_rule(name))
    theirs = BETAS | {"weight_decay": 0.1}
    theirs |= {} if name == "adam" else {"decoupled_weight_decay": True}
    assert_follows_torch(rule, OUR_BETAS | {"weight_decay": 0.1}, DECOUPLED[name], theirs)
