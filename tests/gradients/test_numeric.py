"""Numeric gradients against derivatives in closed form, SciPy and torch."""

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad

from ravine.core.errors import SettingError
from ravine.gradients import numeric_gradient
from tests.gradients.functions import TORCH
from tests.reference.functions import FUNCTIONS

CASES = [(name, point) for name, one in FUNCTIONS.items() for point in one.points]
# Relative to the largest entry, at float64.
WITHIN = {"forward": 1e-5, "central": 2e-8, "richardson": 1e-9, "complex": 1e-13}


def at(point):
    return torch.tensor(point, dtype=torch.float64)


def off(found, true):
    return float((found - true).abs().max() / true.abs().max())


def test_every_function_is_in_both_forms():
    assert set(TORCH) == set(FUNCTIONS) and len(FUNCTIONS) == 24


@pytest.mark.parametrize(("name", "point"), CASES)
def test_closed_forms_agree_with_autograd(name, point):

    x, one = at(point), FUNCTIONS[name]
    torch.testing.assert_close(float(TORCH[name](x)), one.value(x.numpy()), rtol=1e-12, atol=1e-12)
    gradient = torch.func.grad(TORCH[name])(x)
    hessian = torch.func.jacrev(torch.func.grad(TORCH[name]))(x)
    assert off(gradient, torch.as_tensor(one.gradient(x.numpy()))) < 1e-12
    assert off(hessian, torch.as_tensor(one.hessian(x.numpy()))) < 1e-12


# torch's complex power of a negative number loses the tiny imaginary part: refused, not wrong.
POWERS = ("powell", "zakharov", "six-hump camel", "three-hump camel", "styblinski-tang")


@pytest.mark.parametrize("method", WITHIN)
@pytest.mark.parametrize(("name", "point"), CASES)
def test_gradients_of_known_functions(name, point, method):
    x = at(point)
    true = torch.as_tensor(FUNCTIONS[name].gradient(x.numpy()))
    try:
        found = numeric_gradient(TORCH[name], x, method)
    except SettingError as error:
        assert method == "complex" and name in POWERS and min(point) < 0
        assert "powers of negative numbers" in str(error)
        return
    assert off(found.values, true) < WITHIN[method]
    assert bool(((found.values - true).abs() <= 3 * found.errors).all())


@pytest.mark.parametrize(("name", "point"), CASES)
def test_hessians_as_gradients_of_gradients(name, point):
    x = at(point)
    true = torch.as_tensor(FUNCTIONS[name].hessian(x.numpy()))
    rows = [
        numeric_gradient(lambda p, i=i: torch.func.grad(TORCH[name])(p)[i], x, "richardson").values
        for i in range(len(x))
    ]
    assert off(torch.stack(rows), true) < 1e-8


@pytest.mark.parametrize(("name", "point"), CASES)
def test_scipy_and_torch_agree(name, point):
    x, one = at(point), FUNCTIONS[name]
    distance = check_grad(
        one.value, lambda p: numeric_gradient(TORCH[name], at(p)).values.numpy(), x.numpy()
    )
    assert distance < 1e-5 * (1 + abs(one.value(x.numpy())) + np.abs(one.gradient(x.numpy())).max())
    assert torch.autograd.gradcheck(TORCH[name], (x.requires_grad_(),), atol=1e-4)


def test_error_estimates_bound_what_they_estimate_at_a_badly_scaled_point():
    x = torch.tensor([1e-2, 1.0, 1e2], dtype=torch.float64)
    f = lambda x: (x**3).sum() + torch.sin(x).sum()  # noqa: E731
    true = 3 * x**2 + torch.cos(x)
    for method in ("forward", "central", "richardson"):
        found = numeric_gradient(f, x, method)
        assert bool(((found.values - true).abs() <= found.errors).all()), method


def test_an_estimate_is_large_at_a_kink():
    x = torch.tensor([0.0, 2.0], dtype=torch.float64)
    found = numeric_gradient(lambda x: x.relu().sum(), x, "forward", step=1e-3)
    torch.testing.assert_close(found.values, torch.ones(2, dtype=torch.float64))
    near = numeric_gradient(lambda x: (x - 1e-3 / 2).relu().sum(), x, "central", step=1e-3)
    assert near.errors[0] > 1e-2 > 1e-9 > near.errors[1]


class OldStyle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        raise AssertionError("numeric gradients need no backward")


def test_an_old_style_function_is_evaluated_one_by_one():
    x = torch.linspace(-1, 1, 7, dtype=torch.float64)
    notices = Notices()
    found = numeric_gradient(lambda x: OldStyle.apply(x).sum(), x, listener=notices)
    assert off(found.values, x.cos()) < 1e-9
    assert len(notices.texts) == 1 and "entries are evaluated one by one" in notices.texts[0]


class Notices:
    def __init__(self):
        self.texts, self.steps = [], []

    def progressed(self, what, done, total):
        self.steps.append((what, done, total))

    def noticed(self, text):
        self.texts.append(text)


def test_control_flow_on_values_is_evaluated_one_by_one():
    x = torch.tensor([0.5, -0.5, 2.0, 1.0], dtype=torch.float64)
    f = lambda x: (x**2).sum() if float(x.sum()) > 0 else x.sum()  # noqa: E731
    found = numeric_gradient(f, x)
    assert off(found.values, 2 * x) < 1e-9


def test_progress_reaches_the_end_and_memory_is_bounded():
    x = torch.randn(1200, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    notices = Notices()
    found = numeric_gradient(lambda w: torch.tanh(x @ w).sum(), w, listener=notices)
    true = x.T @ (1 - torch.tanh(x @ w) ** 2)
    assert off(found.values, true) < 1e-7
    assert notices.steps[-1] == ("x", 200, 200)


def test_tuples_and_dicts_come_back_as_they_were():
    a = torch.tensor([1.0, 2.0], dtype=torch.float64)
    b = torch.tensor([[3.0]], dtype=torch.float64)
    found = numeric_gradient(lambda a, b: (a**2).sum() * b.sum(), (a, b))
    assert isinstance(found.values, tuple) and found.values[1].shape == (1, 1)
    torch.testing.assert_close(found.values[0], 6 * a)
    named = numeric_gradient(lambda p: (p["a"] ** 2).sum() * p["b"].sum(), {"a": a, "b": b})
    torch.testing.assert_close(named.values["b"], torch.tensor([[5.0]], dtype=torch.float64))
    assert set(named.errors) == {"a", "b"}


def test_the_input_is_left_alone():
    x = torch.randn(3, 4, dtype=torch.float64).T.requires_grad_()
    before = x.detach().clone()
    found = numeric_gradient(lambda x: (x**2).sum(), x)
    torch.testing.assert_close(found.values, 2 * before)
    assert x.equal(before) and x.grad is None


@pytest.mark.parametrize(
    ("x", "keywords", "words"),
    [
        (torch.arange(3), {}, "x must be float32 or float64, got torch.int64"),
        (torch.ones(3).half(), {}, "half-precision"),
        (torch.ones(3).bfloat16(), {}, "half-precision"),
        ((), {}, "at least one tensor"),
        ((torch.ones(2), 3), {}, r"x\[1\] must be a tensor, got int"),
        (3.0, {}, "x must be a tensor"),
        (torch.ones(3), {"method": "centrl"}, "unknown method 'centrl'; did you mean 'central'"),
        (torch.ones(3), {"step": 0.0}, "step must be 'auto' or a number > 0, got 0.0"),
        (torch.ones(3), {"step": "small"}, "step must be 'auto'"),
    ],
)
def test_bad_input(x, keywords, words):
    with pytest.raises(SettingError, match=words):
        numeric_gradient(lambda *parts: parts[0].sum(), x, **keywords)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: x, r"one element, got shape \(3,\)"),
        (lambda x: 3.0, "must return a tensor"),
        (lambda x: x.sum().long(), "must return a float tensor"),
    ],
)
def test_bad_functions(f, words):
    with pytest.raises(SettingError, match=words):
        numeric_gradient(f, torch.ones(3))


@pytest.mark.parametrize(
    "f", [lambda x: (x.abs() * x).sum(), lambda x: x.abs().sum(), lambda x: x.relu().sum()]
)
def test_the_complex_step_refuses_what_is_not_analytic(f):
    with pytest.raises(SettingError, match="use 'richardson'"):
        numeric_gradient(f, torch.tensor([1.0, -2.0], dtype=torch.float64), "complex")
