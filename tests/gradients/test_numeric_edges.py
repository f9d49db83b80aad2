"""Numeric gradients where they are hard: kinks, scales, cancellation, steps, nothing at all."""

import pytest
import torch

from ravine.core.errors import SettingError
from ravine.gradients import numeric_gradient
from ravine.gradients._formulas import scale_of, steps

METHODS = ("forward", "central", "richardson")
DOUBLE = torch.float64


def normal(count, dtype=DOUBLE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator, dtype=DOUBLE).to(dtype)


def spread(dtype=DOUBLE):
    """Entries from 1e-6 to 1e6 of both signs."""
    return normal(30, dtype) * torch.logspace(-6, 6, 30, dtype=DOUBLE).to(dtype)


def honest(f, true, x, method, factor=1.0):
    """Assert that every error is within its estimate, and return the largest relative to true."""
    found = numeric_gradient(f, x, method)
    off = (found.values.double() - true.double()).abs()
    assert bool((off <= factor * found.errors.double()).all()), (off / found.errors.double()).max()
    assert bool(found.errors.isfinite().all())
    return float((off / true.abs()).max())


@pytest.mark.parametrize("method", ["central", "richardson"])
@pytest.mark.parametrize(
    ("f", "left", "right"),
    [
        (lambda x: x.abs().sum(), -1.0, 1.0),
        (lambda x: x.relu().sum(), 0.0, 1.0),
        (lambda x: (3 * x.relu() - 2 * (-x).relu() + x.exp()).sum(), 3.0, 4.0),
        (lambda x: x.amax() - x.amin(), 0.0, 0.0),
        (lambda x: 1e-3 * x.abs().sum() + (5 + x).square().sum(), 9.999, 10.001),
    ],
)
def test_an_error_at_a_kink_reaches_both_one_sided_derivatives(f, left, right, method):
    x = torch.zeros(1, dtype=DOUBLE)
    found = numeric_gradient(f, x, method)
    value, error = float(found.values), float(found.errors)
    assert abs(value - left) <= error * (1 + 1e-6) and abs(value - right) <= error * (1 + 1e-6)
    assert error <= 0.51 * (right - left) + 1e-6  # and says no more than that


@pytest.mark.parametrize("method", ["central", "richardson"])
def test_a_kink_in_one_entry_shows_in_that_entry_alone(method):
    x = torch.tensor([1.0, 0.0, -2.0], dtype=DOUBLE)
    found = numeric_gradient(lambda x: (x.abs() * torch.tensor([1.0, 2, 3])).sum(), x, method)
    assert float(found.errors[1]) == pytest.approx(2, rel=1e-6)
    assert float(found.errors[[0, 2]].max()) < 1e-7


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-200, 1e-60, 1e-30, 1.0, 1e30, 1e60])
def test_steps_follow_the_scale(scale, method):
    x = normal(20) * scale
    within = {"forward": 1e-4, "central": 1e-6, "richardson": 1e-8}[method]
    assert honest(lambda x: (x / scale).sin().sum(), (x / scale).cos() / scale, x, method) < within


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_steps_follow_the_scale_in_float32(scale, method):
    x = normal(20, torch.float32) * scale
    true = (x.double() / scale).cos() / scale
    assert honest(lambda x: (x / scale).sin().sum(), true, x, method, factor=2) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_values_that_underflow_are_said_to_be_uncertain(method):
    for dtype, scale in ((torch.float32, 1e-30), (DOUBLE, 1e-200), (DOUBLE, 1e-310)):
        x = torch.tensor([scale], dtype=dtype)  # whose square is 0
        assert float(x.square()) == 0
        found = numeric_gradient(lambda x: x.square().sum(), x, method)
        assert float(found.errors) >= abs(float(found.values) - 2 * scale)


def test_scales_of_numbers_without_a_square():
    assert scale_of(torch.tensor([3e-200, 4e-200], dtype=DOUBLE)) == pytest.approx(
        12.5**0.5 * 1e-200
    )
    assert scale_of(torch.tensor([3e200, 4e200], dtype=DOUBLE)) == pytest.approx(12.5**0.5 * 1e200)
    least = torch.tensor([5e-324, 0.0], dtype=DOUBLE)
    for order in (2, 3, 7):
        assert bool((steps(least, order) >= torch.finfo(DOUBLE).tiny).all())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("f", "true"),
    [
        (lambda x: x.pow(3).sum(), lambda x: 3 * x**2),
        (lambda x: (1 / x).sum(), lambda x: -1 / x**2),
        (lambda x: x.abs().log().sum(), lambda x: 1 / x),
        (lambda x: x.abs().pow(1.5).sum(), lambda x: 1.5 * x.sign() * x.abs().sqrt()),
    ],
)
def test_entries_of_different_magnitude(f, true, method):
    x = spread()
    honest(f, true(x), x, method, factor=3)


@pytest.mark.parametrize("method", METHODS)
def test_a_small_entry_among_large_ones_keeps_its_digits_under_a_logarithm(method):
    x = torch.tensor([1e-6, 1e6], dtype=DOUBLE)
    within = {"forward": 1e-6, "central": 1e-8, "richardson": 1e-10}[method]
    assert honest(lambda x: x.log().sum(), 1 / x, x, method) < within


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("f", "true"),
    [
        (lambda x: ((x + 1e8) - 1e8).sum(), torch.ones_like),
        (lambda x: (x.sum() + 1e6) ** 2 - 1e12, lambda x: 2 * (x.sum() + 1e6) + 0 * x),
        (lambda x: x.float().sin().sum().double(), torch.cos),
        (lambda x: (x.pow(3) + 1e6).sum() - 30e6, lambda x: 3 * x**2),
    ],
)
def test_rounding_inside_shows_in_the_errors(f, true, method):
    x = normal(30)
    honest(f, true(x), x, method, factor=3)


def test_a_coarse_float32_function_is_not_called_flat():
    x = normal(30, torch.float32)  # steps of 65536 in the square hide a slope of 2e6
    f = lambda x: (x.sum() + 1e6) ** 2 - 1e12  # noqa: E731
    true = 2 * (x.double().sum() + 1e6) * torch.ones(30, dtype=DOUBLE)
    for method in METHODS:
        honest(f, true, x, method, factor=3)


def cube(x):
    return (x**3).sum()


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1.0, 1e30, 1e100])
def test_the_complex_step_follows_the_scale(scale):
    x = torch.tensor([2.0, -1.0, 3.0], dtype=DOUBLE) * scale
    assert honest(lambda x: (x / scale * x).sum() / scale, 2 * x / scale**2, x, "complex") < 1e-14


def test_the_complex_step_of_entries_of_different_magnitude():
    x = torch.tensor([1e-12, 1e12, 0.0], dtype=DOUBLE)
    assert honest(lambda x: (x**2).sum(), (2 * x).clamp(min=1e-300), x, "complex") >= 0
    small = torch.tensor([1e-12, 1e-6], dtype=DOUBLE)
    assert honest(lambda x: x.log().sum(), 1 / small, small, "complex") < 1e-14
    tiny = torch.tensor([1e-30], dtype=torch.float32)
    assert honest(lambda x: x.sin().sum(), torch.ones(1), tiny, "complex") < 1e-3


@pytest.mark.parametrize("method", [*METHODS, "complex"])
def test_nothing_gives_nothing(method):
    empty, one = torch.ones(0, 3, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE)
    found = numeric_gradient(lambda x: (x**2).sum() + 1, empty, method)
    assert found.values.shape == found.errors.shape == (0, 3)
    both = numeric_gradient(lambda a, b: (a**2).sum() + (b**2).sum(), (empty, one), method)
    assert both.values[0].shape == (0, 3)
    torch.testing.assert_close(both.values[1], 2 * one, rtol=1e-6, atol=0)


@pytest.mark.parametrize("step", [None, -1, 0, float("nan"), float("inf"), "small", True, [1e-3]])
def test_a_step_that_is_no_step(step):
    with pytest.raises(SettingError, match=r"step must be 'auto' or a number > 0, got"):
        numeric_gradient(cube, torch.ones(2), step=step)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_lost_in_rounding_is_refused(method):
    x = torch.tensor([1.0, 1e16], dtype=DOUBLE)
    with pytest.raises(SettingError, match=r"0.001 is lost in rounding beside 1e\+16 in x; give"):
        numeric_gradient(lambda x: x.sum(), x, method, step=1e-3)
    # 1.4 and 2.8 both become 2 beside 1e16: two steps that cannot disagree.
    with pytest.raises(SettingError, match=r"1\.4 is lost in rounding"):
        numeric_gradient(lambda x: x.sum(), x, method, step=1.4)
    wide = numeric_gradient(lambda x: x.sum(), x, method, step=1e4)
    torch.testing.assert_close(wide.values, torch.ones(2, dtype=DOUBLE))


@pytest.mark.parametrize("method", METHODS)
def test_where_the_function_is_not_defined_nothing_is_claimed(method):
    x = torch.tensor([0.0, 4.0], dtype=DOUBLE)
    found = numeric_gradient(lambda x: x.sqrt().sum(), x, method, step=1e-3)
    assert float(found.values[1]) == pytest.approx(0.25, abs=float(found.errors[1]))
    # d sqrt at 0 is infinite from the right, and there is nothing to the left.
    assert not float(found.errors[0]) < 1
