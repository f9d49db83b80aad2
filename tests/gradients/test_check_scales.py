"""Short wavelengths, exact minima, tiny parts beside huge ones, models that need float32."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from ravine.gradients._ladder import Rungs, settled
from ravine.gradients._noise import noise_along
from tests.gradients.correct import seeded


def vectors(seed=0, rows=6):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=g), torch.randint(4, (rows,), generator=g)


class Scaled(torch.autograd.Function):
    """The same values; the gradient times a factor. Refuses float64 where asked to."""

    @staticmethod
    def forward(ctx, x, factor, narrow):
        if narrow and x.dtype != torch.float32:
            raise TypeError("float32 only")
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return ctx.factor * g, None, None


class Waves(nn.Module):
    """``sin(x * q)``, as of timestamps."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor, self.q, self.out = factor, nn.Parameter(torch.rand(8)), nn.Linear(16, 4)

    def forward(self, x):
        x = x * Scaled.apply(self.q, self.factor, False)
        return self.out(torch.cat([torch.sin(x), torch.cos(x)], 1))


class Sine(nn.Linear):
    def forward(self, x):
        return torch.sin(1e5 * super().forward(x))


@pytest.mark.parametrize("seed", range(8))
def test_short_wavelengths_raise_no_alarm(seed):
    torch.manual_seed(seed)
    x, y = vectors(seed)
    assert check(Sine(8, 4), F.cross_entropy, (x, y), seed=seed).ok
    assert check(Waves(), F.cross_entropy, (1e5 * x, y), seed=seed).ok


@pytest.mark.parametrize("seed", range(3))
def test_a_fault_among_short_wavelengths_is_found(seed):
    torch.manual_seed(seed)
    x, y = vectors(seed)
    report = check(Waves(2.0), F.cross_entropy, (1e5 * x, y), seed=seed)
    assert [one.parameter for one in report.findings if one.error] == ["q"], report


def test_a_step_longer_than_the_wavelength_is_not_the_surest():
    steps = (1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    # Two long steps agree by chance on 0.
    slopes = [0.0, 0.0, 30.0, -200.0, 4e3, 2e4, 99_800.0, 99_998.0, 99_999.98]
    found = settled(Rungs(steps, slopes, slopes, 1e-16), 0.0)
    assert abs(found.derivative - 1e5) < 1 and found.error < 20


def test_a_short_wavelength_is_not_taken_for_rounding():
    x = torch.tensor(0.3, dtype=torch.float64)
    for wave in (1e5, 1e6, 1e7):
        noise = noise_along(lambda h, w=wave: float(torch.sin(w * (x + h))), torch.float64, wave)
        assert noise < 1e-5  # of an amplitude of 1


class Net(nn.Module):
    def __init__(self, factor=1.0, narrow=True):
        super().__init__()
        self.factor, self.narrow = factor, narrow
        self.a, self.c = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.c(Scaled.apply(self.a(x), self.factor, self.narrow))


@pytest.mark.parametrize("factor", [1.05, 0.95, 1.3])
def test_a_small_factor_in_float32_is_found_at_any_seed(factor):
    for seed in range(20):
        torch.manual_seed(seed)
        report = check(Net(factor), F.cross_entropy, vectors(seed), seed=seed)
        assert report.dtype == "float32"
        assert not report.ok, (seed, report)


def test_float32_alone_raises_no_alarm():
    for seed in range(20):
        torch.manual_seed(seed)
        report = check(Net(), F.cross_entropy, vectors(seed), seed=seed, full=seed % 2 == 0)
        assert report.ok, (seed, report)


def identity():
    model = nn.Linear(4, 4)
    nn.init.eye_(model.weight)
    nn.init.zeros_(model.bias)
    return model


@pytest.mark.parametrize("full", [False, True])
def test_the_gradient_0_of_an_exact_minimum_is_confirmed(full):
    z = vectors()[0][:, :4]
    report = check(identity(), F.mse_loss, (z, z.clone()), full=full)
    assert report.agrees and not report.findings, report
    assert {one.name for one in report.checked} == {"weight", "bias", "input"}


def test_a_kink_at_an_exact_minimum_is_a_kink():
    z = vectors()[0][:, :4]
    report = check(identity(), F.l1_loss, (z, z.clone()))
    assert report.ok and {one.cause for one in report.findings} == {"kink"}, report


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 2.0]))

    def forward(self, x):
        return self.v.prod() * x.sum()


def test_the_gradient_0_of_a_saddle_is_confirmed():
    report = check(Product(), lambda s, y: s, vectors())
    assert "v" in {one.name for one in report.checked} and "v" not in report.undecided, report


def test_a_gradient_of_0_that_is_wrong_is_found():
    x, _ = vectors()
    model = seeded(Net, 0.0, False)
    report = check(model, lambda s, y: s.square().mean(), (x, torch.zeros(6)))
    assert {"a.weight", "a.bias"} <= {one.parameter for one in report.findings if one.error}


class BesideHuge(nn.Module):
    """A layer that matters `share` times as much as another; its bias gradient times a factor."""

    def __init__(self, share, factor):
        super().__init__()
        self.share, self.factor = share, factor
        self.a, self.c, self.tiny = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(8, 4)

    def forward(self, x):
        bias = Scaled.apply(self.tiny.bias, self.factor, False)
        return self.c(self.a(x) * 1e6) + self.share * F.linear(x, self.tiny.weight, bias)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("share", [1e-6, 1e-7, 1e-9])
def test_a_tiny_layer_beside_a_huge_one_is_not_called_right(share, full):
    x, y = vectors()
    loss = lambda s, y: s.square().mean()  # noqa: E731
    report = check(seeded(BesideHuge, share, 2.0), loss, (x, y), full=full)
    wrong = {one.parameter for one in report.findings if one.error}
    assert wrong <= {"tiny.bias"}
    assert "tiny.bias" in wrong | {*report.undecided}, report
    sound = check(seeded(BesideHuge, share, 1.0), loss, (x, y), full=full)
    assert sound.ok


def test_a_gradient_that_is_rounding_alone_needs_no_decision():
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 4)))
    assert check(model, F.cross_entropy, vectors(rows=32)).agrees


def test_a_flat_loss_stays_undecided_and_a_bent_one_is_not_called_flat():
    steps = (1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5)
    bent = settled(Rungs(steps, [-h for h in steps], steps, 1e-16), 0.0)
    assert bent.derivative == 0 and bent.bend == 0.1 and not bent.kink
    flat = settled(Rungs(steps, [0.0] * 6, [0.0] * 6, 1e-16), 0.0)
    assert flat.bend == 0
    hidden = settled(Rungs(steps, [-h for h in steps], steps, 1e-2), 0.0)
    assert hidden.bend == 0
