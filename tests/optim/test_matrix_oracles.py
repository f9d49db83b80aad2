"""Matrix methods and methods that run singly against the plain NumPy ones of the references."""

import numpy as np
import pytest
import torch
from torch import nn

from ravine.optim._closures_methods import CLOSURE_METHODS
from ravine.optim._matrix_methods import MATRIX_METHODS
from ravine.testing import _golden_problem as problem
from tests.reference.oracles import CLOSURES, ORACLES

BETAS = {"beta1": 0.9, "beta2": 0.99}
# Convention, the oracle's settings, ours where they are called otherwise, shapes.
STEPS = {
    "adafactor": (
        "torch",
        {"lr": 0.05, "weight_decay": 0.1, "eps1": 1e-4, "eps2": 0.2, "beta2_decay": -0.5},
        {"eps": (1e-4, 0.2)},
        [(6, 4), (7,), (3, 2, 4)],
    ),
    "shampoo": ("paper", {"lr": 0.1, "eps": 1e-2}, {}, [(6, 4), (7,), (3, 2, 4)]),
    "soap": (
        "paper",
        {**BETAS, "lr": 0.1, "weight_decay": 0.1, "shampoo_beta": 0.8,
         "precondition_frequency": 3},
        {"betas": (0.9, 0.99)},
        # Of a first gradient with two rows or columns too few the bases are not determined.
        [(4, 4), (3, 2), (7,), (3, 3, 3)],
    ),
    "muon_with_adamw": (
        "paper",
        {"lr": 0.1, "weight_decay": 0.1, "nesterov": False, "adamw_lr": 0.01},
        {"ns_dtype": "float64"},
        [(6, 4), (4, 6)],
    ),
}  # fmt: skip


def ours(name, parameters, settings):
    if name == "muon_with_adamw":
        parameters = [{"params": parameters, "use_muon": True}]
    return MATRIX_METHODS[name].optimizer(parameters, **settings)


@pytest.mark.parametrize("name", STEPS)
def test_100_steps_equal_the_oracle(name):
    convention, asked, renamed, shapes = STEPS[name]
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape) for shape in shapes]
    parameters = [nn.Parameter(torch.from_numpy(value.copy())) for value in values]
    left_out = {"beta1", "beta2", "eps1", "eps2"}
    settings = {key: value for key, value in asked.items() if key not in left_out} | renamed
    optimizer, state = ours(name, parameters, settings), {}
    for t in range(1, 101):
        grads = [0.3 * rng.normal(size=shape) for shape in shapes]
        step = ORACLES[name, convention].step
        values = step(values, lambda _, g=grads: g, state, t, **asked)
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = torch.from_numpy(grad)
        optimizer.step()
    for parameter, value in zip(parameters, values, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=0, atol=1e-11)


CLOSURE_CASES = [
    ("gradient_descent_armijo", {"lr": 2.0, "c1": 0.1, "shrink": 0.6, "expand": 1.5}),
    ("newton_trust_region", {"radius": 0.4, "max_radius": 0.6, "eta": 0.2}),
    ("newton_trust_region", {"radius": 60.0, "max_radius": 100.0, "eta": 0.1}),
    ("levenberg_marquardt", {"tau": 0.3}),
    ("lbfgs", {"lr": 0.7, "max_iter": 2, "history_size": 3, "line_search_fn": "strong_wolfe"}),
    ("lbfgs", {"lr": 0.2, "max_iter": 2, "history_size": 3}),
]


def residuals_of(weight, bias):
    x, y, c = (torch.from_numpy(a) for a in (problem.X, problem.Y, problem.C))
    outputs = torch.tanh(x @ weight.T + bias)
    return torch.cat([(outputs - y).flatten(), weight.T @ bias - c])


def closure_for(name, optimizer, parameters):
    def closure():
        residuals = residuals_of(*parameters)
        if name == "levenberg_marquardt":
            return residuals
        loss = residuals.square().sum() / 2
        if name in ("gradient_descent_armijo", "lbfgs"):
            optimizer.zero_grad()
            loss.backward()
        return loss

    return closure


@pytest.mark.parametrize(("name", "settings"), CLOSURE_CASES)
def test_10_calls_equal_the_oracle(name, settings):
    convention = "torch" if name == "lbfgs" else "paper"
    parameters = [nn.Parameter(torch.from_numpy(w.copy())) for w in problem.START]
    optimizer = CLOSURE_METHODS[name].optimizer(parameters, **settings)
    closure = closure_for(name, optimizer, parameters)
    expected, state = problem.flatten(problem.START), {}
    for _ in range(10):
        optimizer.step(closure)
        expected = CLOSURES[name, convention](expected, problem, state, **settings)
        found = problem.flatten([p.detach().numpy() for p in parameters])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
