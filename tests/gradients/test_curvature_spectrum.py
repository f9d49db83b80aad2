"""Eigenvalues, trace and density of matrices with a known spectrum; stable rates on quadratics."""

import numpy as np
import pytest
import torch
from torch import nn

from ravine.core.errors import SettingError
from ravine.gradients._curvature import curvature
from ravine.gradients._curvature_objective import objective, objective_of
from ravine.gradients._curvature_rates import SharpnessTrace, curvature_report, stable_rate
from ravine.gradients._spectrum import spectral_density, top_eigenvalues, trace
from ravine.rules import get_rule, initial_state, reference_step

SIZE = 150
SPECTRUM = np.concatenate([np.linspace(-0.5, 1, SIZE - 3), [20.0, 35.0, 60.0]])


def quadratic(eigenvalues, *, rotated):
    """Return 0.5 w^T A w with a known spectrum."""
    random = np.random.default_rng(5)
    q = np.linalg.qr(random.standard_normal((len(eigenvalues),) * 2))[0]
    a = q @ np.diag(eigenvalues) @ q.T if rotated else np.diag(eigenvalues)
    matrix = torch.from_numpy((a + a.T) / 2)
    point = torch.ones(len(eigenvalues), dtype=torch.float64)
    return curvature(objective_of(lambda w: 0.5 * w @ matrix @ w, point)), a


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("largest", [60.0, 35.0, 20.0, 1.0]),
        ("smallest", SPECTRUM[:4]),
        ("magnitude", [60.0, 35.0, 20.0, 1.0]),
    ],
)
def test_lanczos_finds_the_ends(which, expected):
    matrix, _ = quadratic(SPECTRUM, rotated=True)
    np.testing.assert_allclose(top_eigenvalues(matrix, 4, which), expected, rtol=1e-7)


def test_eigenvalues_of_a_network_equal_numpys():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 9), nn.Tanh(), nn.Linear(9, 4)).double()
    batch = torch.randn(30, 8).double(), torch.randint(0, 4, (30,))
    matrix = curvature(objective(model, nn.CrossEntropyLoss(), batch))
    expected = np.linalg.eigvalsh(matrix.dense().numpy())
    np.testing.assert_allclose(top_eigenvalues(matrix, 3), expected[:-4:-1], rtol=1e-7)
    np.testing.assert_allclose(top_eigenvalues(matrix, 2, "smallest"), expected[:2], rtol=1e-7)
    np.testing.assert_allclose(
        top_eigenvalues(matrix, matrix.size), expected[::-1], rtol=1e-9, atol=1e-12
    )


def test_trace_is_exact_for_a_diagonal_and_its_error_bar_holds_otherwise():
    matrix, _ = quadratic(SPECTRUM, rotated=False)
    assert trace(matrix, 2).value == pytest.approx(SPECTRUM.sum(), rel=1e-13)
    assert trace(matrix, 2).error == pytest.approx(0, abs=1e-10)
    # No few eigenvalues stand out, so the samples are nearly normal, as the t interval assumes.
    bulk = SPECTRUM[:-3]
    rotated, _ = quadratic(bulk, rotated=True)
    runs = [trace(rotated, 10, seed=seed) for seed in range(300)]
    inside = sum(abs(run.value - bulk.sum()) <= run.error for run in runs)
    # Binomial with p = 0.95: four deviations are 15.
    assert abs(inside - 285) <= 15


def test_the_density_of_a_diagonal_has_its_moments():
    # A vector of signs weighs every eigenvector alike, and Gauss' rule of 8 points is exact to 15.
    matrix, _ = quadratic(SPECTRUM, rotated=False)
    density = spectral_density(matrix, steps=8, probes=2)
    for power in range(1, 16):
        assert density.moment(power) == pytest.approx((SPECTRUM**power).mean(), rel=1e-9)


def test_the_density_of_a_small_matrix_is_its_spectrum():
    values = np.array([-2.0, 0.0, 1.0, 7.0])
    matrix, _ = quadratic(values, rotated=False)
    density = spectral_density(matrix, steps=50, probes=3)
    np.testing.assert_allclose(density.values, np.tile(values, (3, 1)), atol=1e-10)
    np.testing.assert_allclose(density.weights, 0.25, atol=1e-12)


def test_probes_that_end_early_are_filled_with_nothing():
    matrix, _ = quadratic(np.array([3.0] * 5), rotated=False)
    density = spectral_density(matrix, steps=4, probes=2)
    np.testing.assert_allclose(density.values, [[3.0], [3.0]])
    assert density.moment(2) == pytest.approx(9.0)


def test_the_density_counts_the_share_below():
    matrix, _ = quadratic(SPECTRUM, rotated=True)
    density = spectral_density(matrix, steps=80, probes=12)
    table = density.frame(2000)
    for limit in (0.25, 10.0, 30.0, 50.0):
        found = np.interp(limit, table["eigenvalue"], table["share_below"])
        assert found == pytest.approx((limit > SPECTRUM).mean(), abs=0.03)
    spacing = np.diff(table["eigenvalue"])[0]
    assert table["density"].sum() * spacing == pytest.approx(1, abs=1e-3)
    assert len(density.plot().data) == 1


def descended(name, lr, eigenvalues, steps):
    """Return the size of the weights after some steps of one of Ravine's rules."""
    rule = get_rule(name)
    hypers = rule.check({"lr": lr} if name == "sgd" else {"lr": lr, "mu": 0.9})
    h = torch.tensor(eigenvalues, dtype=torch.float64)
    w = torch.ones_like(h)
    states = [initial_state(rule, w, hypers)]
    for t in range(1, steps + 1):
        (w,), states = reference_step(rule, [w], [h * w], states, t, hypers)
    return float(w.norm())


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("momentum", 0.9)])
def test_just_under_the_stable_rate_descent_converges_and_just_over_it_diverges(name, momentum):
    eigenvalues = np.array([0.5, 3.0, 12.0])
    matrix, _ = quadratic(eigenvalues, rotated=True)
    limit = stable_rate(top_eigenvalues(matrix)[0], momentum)
    assert limit == pytest.approx(2 * (1 + momentum) / 12)
    assert descended(name, 0.999 * limit, eigenvalues, 20_000) < 1e-4
    assert descended(name, 1.001 * limit, eigenvalues, 20_000) > 1e4


def test_the_report_names_rates_and_says_where_the_loss_curves_downwards():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    batch = torch.randn(20, 5).double(), torch.randint(0, 3, (20,))
    here = objective(model, nn.CrossEntropyLoss(), batch)
    report = curvature_report(here, count=2, momentum=0.5)
    values = dict(report.frame()[["quantity", "value"]].to_numpy().tolist())
    dense = np.linalg.eigvalsh(curvature(here).dense().numpy())
    assert values["eigenvalue 1"] == pytest.approx(dense[-1])
    assert values["smallest eigenvalue"] == pytest.approx(dense[0])
    assert values["stable rate, gradient descent"] == pytest.approx(2 / dense[-1])
    assert values["stable rate, momentum 0.5"] == pytest.approx(3 / dense[-1])
    gauss_newton = np.linalg.eigvalsh(curvature(here, "gauss-newton").dense().numpy())[-1]
    assert values["Gauss-Newton eigenvalue 1"] == pytest.approx(gauss_newton)
    assert abs(report.trace.value - dense.sum()) < 2 * report.trace.error
    assert ("curves downwards" in report.text()) == (dense[0] < 0)


def test_nothing_that_curves_upwards_limits_no_rate():
    assert stable_rate(-1.0) == float("inf")
    with pytest.raises(SettingError, match="momentum must be in"):
        stable_rate(1.0, 1.0)


def test_sharpness_along_training_follows_the_weights():
    # L = mean of (w x)^2 of a tanh unit has no closed form; that of 0.25 w^4 has: 3 w^2.
    class Quartic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))

        def forward(self, x):
            return self.w**4 / 4 * x

    model, batch = Quartic(), (torch.ones(1).double(), torch.zeros(1))
    along = SharpnessTrace(model, lambda outputs, _: outputs.sum(), batch)
    for step, w in enumerate((2.0, 1.5, 0.1)):
        model.w.data.fill_(w)
        assert along.record(step) == pytest.approx(3 * w**2, rel=1e-12)
    assert along.frame()["stable_rate"].tolist() == pytest.approx([1 / 6, 2 / 6.75, 2 / 0.03])
    assert [trace.name for trace in along.plot(lr=0.1).data] == ["sharpness", "2 / lr"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: top_eigenvalues(m, 0), "count must be an integer >= 1"),
        (lambda m: top_eigenvalues(m, 5), "count must be <= 4"),
        (lambda m: top_eigenvalues(m, 1, "middle"), "unknown end"),
        (lambda m: trace(m, 1), "samples must be an integer >= 2"),
        (lambda m: spectral_density(m, steps=0), "steps must be"),
    ],
)
def test_wrong_numbers_are_named(call, message):
    matrix, _ = quadratic(np.arange(4.0), rotated=False)
    with pytest.raises(SettingError, match=message):
        call(matrix)
