"""Products, dense matrices and derivatives against torch.func, numeric derivatives and formulas."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ravine.core.errors import ModelError, SettingError
from ravine.gradients import _curvature_products as products
from ravine.gradients._curvature import curvature
from ravine.gradients._curvature_higher import directional_derivative
from ravine.gradients._curvature_objective import Objective, flat, objective, objective_of

ROWS, CLASSES = 12, 3


class OldSquare(torch.autograd.Function):
    """No setup_context: torch.func refuses it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class Squared(nn.Module):
    def forward(self, x):
        return OldSquare.apply(x)


def own_loss(scores, labels):
    return (F.softplus(-scores.gather(1, labels[:, None])) ** 2).mean()


def data():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, CLASSES, (ROWS,), generator=generator)


def network(*middle):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(4, 6), *middle, nn.Tanh(), nn.Linear(6, CLASSES)).double()


def by_differences(here):
    """Return the Hessian from differences of gradients, which no second derivative enters."""
    point, h = flat(here.point), 1e-5

    def gradient(w):
        return Objective(here.split(w), here.names, here.inner, here.outer).gradient()

    columns = [
        (gradient(point + h * e) - gradient(point - h * e)) / (2 * h)
        for e in torch.eye(here.size, dtype=torch.float64)
    ]
    return torch.stack(columns, 1)


def gauss_newton_by_formula(here):
    """Return J^T H J, J by differences of the outputs."""
    point, h = flat(here.point), 1e-6
    eye = torch.eye(here.size, dtype=torch.float64)
    with torch.no_grad():
        j = [
            (here.inner(here.split(point + h * e)) - here.inner(here.split(point - h * e)))
            / (2 * h)
            for e in eye
        ]
        scores = here.inner(here.point)
    jacobian = torch.stack([column.flatten() for column in j], 1)
    outer = torch.autograd.functional.hessian(
        lambda s: here.outer(s.view_as(scores)), scores.flatten()
    )
    return jacobian.T @ outer @ jacobian


NORMALISED = {
    "plain": (),
    "layer norm": (nn.LayerNorm(6),),
    "group norm": (nn.GroupNorm(2, 6),),
    "batch norm": (nn.BatchNorm1d(6),),
    "batch norm without statistics": (nn.BatchNorm1d(6, track_running_stats=False),),
    "old autograd function": (Squared(),),
}


@pytest.mark.parametrize("loss", [F.cross_entropy, nn.CrossEntropyLoss(), own_loss])
@pytest.mark.parametrize("middle", NORMALISED)
def test_hessian_and_gauss_newton_equal_differences_whatever_computes_them(middle, loss):
    here = objective(network(*NORMALISED[middle]), loss, data())
    torch.testing.assert_close(curvature(here).dense(), by_differences(here), rtol=1e-5, atol=2e-7)
    torch.testing.assert_close(
        curvature(here, "gauss-newton").dense(), gauss_newton_by_formula(here), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("matrix", ["hessian", "gauss-newton"])
def test_forward_over_reverse_equals_reverse_twice(matrix):
    here = objective(network(nn.BatchNorm1d(6)), own_loss, data())
    v = here.split(torch.linspace(-1, 1, here.size, dtype=torch.float64))
    first, second = {
        "hessian": (products.hessian_product(here)[0], products._hessian_by_reverse),
        "gauss-newton": (products.gauss_newton_product(here)[0], products._gauss_newton_by_reverse),
    }[matrix]
    torch.testing.assert_close(flat(first(v)), flat(second(here, v)), rtol=1e-12, atol=1e-14)


def test_hessian_equals_torch_func_to_rounding():
    here = objective(network(), own_loss, data())
    expected = torch.func.hessian(lambda w: here.value(here.split(w)))(flat(here.point))
    torch.testing.assert_close(curvature(here).dense(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("function", "point", "hessian"),
    [
        # Rosenbrock: (1 - x)^2 + 100 (y - x^2)^2
        (
            lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2,
            (-1.2, 1.0),
            lambda x, y: [[2 - 400 * (y - 3 * x**2), -400 * x], [-400 * x, 200.0]],
        ),
        # Himmelblau: (x^2 + y - 11)^2 + (x + y^2 - 7)^2
        (
            lambda w: (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2,
            (0.7, -2.1),
            lambda x, y: [
                [12 * x**2 + 4 * y - 42, 4 * (x + y)],
                [4 * (x + y), 12 * y**2 + 4 * x - 26],
            ],
        ),
        # Booth: (x + 2 y - 7)^2 + (2 x + y - 5)^2
        (
            lambda w: (w[0] + 2 * w[1] - 7) ** 2 + (2 * w[0] + w[1] - 5) ** 2,
            (3.0, 4.0),
            lambda x, y: [[10.0, 8.0], [8.0, 10.0]],
        ),
    ],
)
def test_hessian_of_known_functions(function, point, hessian):
    here = objective_of(function, torch.tensor(point, dtype=torch.float64))
    expected = torch.tensor(hessian(*point), dtype=torch.float64)
    torch.testing.assert_close(curvature(here).dense(), expected, rtol=1e-13, atol=1e-12)


def test_gauss_newton_of_a_linear_model_is_its_hessian():
    here = objective(nn.Linear(4, CLASSES).double(), own_loss, data())
    torch.testing.assert_close(
        curvature(here).dense(), curvature(here, "gauss-newton").dense(), rtol=1e-12, atol=1e-14
    )


@pytest.mark.skipif(
    importlib.util.find_spec("curvlinops") is None, reason="curvlinops is an optional extra"
)
def test_curvlinops_computes_where_it_is_right_and_only_there():
    sources = {
        name: curvature(objective(network(*middle), nn.CrossEntropyLoss(), data())).source
        for name, middle in NORMALISED.items()
    }
    assert sources["plain"] == "curvlinops"
    # Its Hessian is wrong with these, silently; the own products are taken.
    assert sources["layer norm"] == sources["batch norm without statistics"] == "torch.func"
    assert sources["old autograd function"] == "double backward"
    assert curvature(objective(network(), own_loss, data())).source == "torch.func"


def test_the_model_stays_as_it_is():
    model = network(nn.BatchNorm1d(6))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    curvature(objective(model, F.cross_entropy, data())).dense()
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_tied_and_frozen_weights_count_once_and_not_at_all():
    shared = nn.Linear(6, 6).double()
    model = network(shared, nn.Tanh(), shared)
    model[0].bias.requires_grad_(False)
    before = {id(p) for p in model.parameters()}
    here = objective(model, nn.CrossEntropyLoss(), data())
    assert here.size == 24 + 42 + 21
    assert {id(p) for p in model.parameters()} == before
    torch.testing.assert_close(curvature(here).dense(), by_differences(here), rtol=1e-5, atol=2e-7)


def test_higher_derivatives_of_a_polynomial_and_of_exp():
    x = torch.tensor([0.3, -0.7], dtype=torch.float64)
    u = torch.tensor([2.0, 1.0], dtype=torch.float64)
    here = objective_of(lambda w: (2 * w[0] + w[1]).exp() + w[0] ** 3, x)
    for order in range(6):
        powers = {0: 0.3**3, 1: 3 * 0.3**2 * 2, 2: 6 * 0.3 * 4, 3: 6 * 8}
        expected = 5.0**order * np.exp(-0.1) + powers.get(order, 0.0)
        assert directional_derivative(here, u, order) == pytest.approx(expected, rel=1e-12)


def test_second_derivative_through_layer_norm_is_right_and_the_third_is_refused():
    here = objective(network(nn.LayerNorm(6)), F.cross_entropy, data())
    u = torch.linspace(-1, 1, here.size, dtype=torch.float64)
    expected = float(u @ by_differences(here) @ u)
    assert directional_derivative(here, u, 2) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ModelError, match="must agree"):
        directional_derivative(here, u, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: objective(network(nn.Dropout(0.5)), F.cross_entropy, data()), "call eval"),
        (lambda: objective(network().half(), F.cross_entropy, data()), "float16"),
        (lambda: objective(nn.Flatten(), F.cross_entropy, data()), "no weights that train"),
        (lambda: objective_of(lambda w: w * 2, torch.ones(3)), r"scalar tensor, got shape \(3,\)"),
        (lambda: objective_of(lambda w: w.log().sum(), -torch.ones(3)), "finite"),
        (lambda: objective_of(lambda w: w.sum(), torch.arange(3)), "int64"),
        (lambda: curvature(objective_of(lambda w: Once.apply(w).sum(), torch.ones(2))), "twice"),
    ],
)
def test_what_has_no_curvature_is_refused(make, message):
    with pytest.raises(ModelError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda here: curvature(here, "fisher"), "unknown matrix 'fisher'"),
        (lambda here: curvature(here, "gauss-newton"), "needs a model"),
        (lambda here: curvature(here) @ torch.ones(4), r"shape \(3,\)"),
        (lambda here: curvature(here).dense(most=2), "at most 2 weights"),
        (lambda here: directional_derivative(here, torch.ones(3), -1), "order must be"),
        (lambda here: objective(network(), F.cross_entropy, (1, 2, 3)), "pair"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(SettingError, match=message):
        make(objective_of(lambda w: (w**2).sum(), torch.ones(3)))
