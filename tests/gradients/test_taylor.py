"""Slopes of Taylor's remainder where they are known."""

import pytest
import torch
from torch import nn

from ravine.core.errors import SettingError
from ravine.gradients._curvature_objective import flat, objective, objective_of
from ravine.gradients._taylor import taylor_check


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def network():
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    return objective(
        model, nn.CrossEntropyLoss(), (torch.randn(20, 5).double(), torch.randint(0, 3, (20,)))
    )


def test_a_right_gradient_leaves_h_squared():
    check = taylor_check(network())
    assert check.ok and check.slope == pytest.approx(2, abs=0.02)
    assert check.counted.sum() == 5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("factor", [-1.0, 0.5, 1.01, 2.0])
def test_a_scaled_gradient_leaves_h(factor, seed):
    here = network()
    check = taylor_check(here, gradient=factor * here.gradient(), seed=seed)
    assert not check.ok and check.slope == pytest.approx(1, abs=0.05)


def test_a_gradient_wrong_in_one_entry_leaves_h():
    here = network()
    wrong = here.gradient().clone()
    wrong[7] += 1e-3
    assert taylor_check(here, gradient=wrong).slope == pytest.approx(1, abs=0.1)


def test_the_remainder_of_a_parabola_is_its_second_term():
    check = taylor_check(objective_of(lambda w: 3 * w[0] ** 2, double(0.5)), direction=double(2))
    table = check.frame()[lambda t: t["counted"]]
    assert table["remainder"].tolist() == pytest.approx((3 * table["h"] ** 2).tolist(), rel=1e-2)


def test_where_the_curvature_is_zero_the_remainder_shrinks_faster():
    check = taylor_check(objective_of(lambda w: w[0] ** 3, double(0.0)), direction=double(1))
    assert check.ok and check.slope == pytest.approx(3, abs=1e-6)


def test_a_linear_function_leaves_rounding_only():
    check = taylor_check(objective_of(lambda w: (w * double(1, 2, 3)).sum(), double(4, 5, 6)))
    assert check.ok and not check.counted.any()
    assert "linear along the direction" in check.text()


def test_a_kink_at_the_point_leaves_h():
    check = taylor_check(objective_of(lambda w: w.abs().sum(), double(0.0, 0.0)))
    assert not check.ok and check.slope == pytest.approx(1, abs=1e-6)


def test_the_figure_has_both_axes_on_a_log_scale_and_the_slope():
    figure = taylor_check(network()).plot()
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert [trace.name for trace in figure.data] == ["remainder", "rounding", "slope 2.00"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"direction": torch.zeros(67)}, "length > 0, got 0"),
        ({"direction": torch.ones(3)}, r"direction must have shape \(75,\)"),
        ({"gradient": torch.ones(3)}, r"gradient must have shape \(75,\)"),
    ],
)
def test_wrong_vectors_are_named(settings, message):
    here = network()
    if "length" in message:
        settings = {"direction": torch.zeros_like(flat(here.point))}
    with pytest.raises(SettingError, match=message):
        taylor_check(here, **settings)
