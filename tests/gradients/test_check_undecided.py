"""Where rounding hides a slope: what is still visible is found, the rest is never called right."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from ravine.testing import assert_gradients
from tests.gradients import faults
from tests.gradients.correct import CORRECT, seeded
from tests.gradients.test_check_faults import WRONG

CAST = (torch.float32, torch.bfloat16)


class Rounded(nn.Module):
    """A product of one's own between two layers, its result rounded to a narrower dtype."""

    def __init__(self, fault=None, dtype=torch.float32, width=16):
        super().__init__()
        g = torch.Generator().manual_seed(2)
        self.fault, self.dtype = fault, dtype
        self.first, self.last = nn.Linear(8, width), nn.Linear(width, 4)
        self.w, self.b = nn.Parameter(torch.empty(width, width)), nn.Parameter(torch.empty(width))
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=g) / 4)

    def forward(self, x):
        y = torch.tanh(self.first(x))
        y = faults.Product.apply(y, self.w, self.b, self.fault)
        return self.last(torch.tanh(y.to(self.dtype).to(x.dtype)))


def vectors(rows=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=g), torch.randint(4, (rows,), generator=g)


def shifted(scores, y):
    return F.cross_entropy(scores, y) + 1e12


NARROWED = {
    "float32": lambda loss: lambda s, y: loss(s.float().to(s.dtype), y),
    "bfloat16": lambda loss: lambda s, y: loss(s.bfloat16().to(s.dtype), y),
    "shifted": lambda loss: lambda s, y: loss(s, y) + 1e9,
}
NOISY = (
    "linear, hinge at its margin",
    "mlp, relu",
    "cnn on blank images, biases 0",
    "batch norm, evaluation",
    "normalised rows, one of zeros",
    "deep narrow",
)


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("kind", NARROWED)
def test_noise_raises_no_alarm(name, kind):
    make, loss, batch = CORRECT[name]
    report = check(seeded(make), NARROWED[kind](loss), batch, seed=len(name) % 5)
    assert report.ok, report
    assert {*report.undecided}.isdisjoint(one.name for one in report.checked)


def of_cause(report, cause):
    return {one.parameter: one for one in report.findings if one.cause == cause}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", CAST)
@pytest.mark.parametrize("fault", ["sign", "factor"])
def test_a_fault_behind_a_cast_is_found(fault, dtype, seed):
    report = check(Rounded(fault, dtype), F.cross_entropy, vectors(), seed=seed)
    assert set(of_cause(report, "backward")) == {"w"}, report
    assert not report.ok


@pytest.mark.parametrize("fault", [one for one in WRONG if one != "single"])  # 1 % of one entry
def test_any_gross_fault_behind_a_cast_of_the_scores_is_found(fault):
    loss = {"hinge": faults.OwnHinge(fault), "cross terms": faults.picked}
    narrowed = NARROWED["float32"](loss.get(fault, F.cross_entropy))
    report = check(faults.Net(fault), narrowed, faults.batch())
    assert WRONG[fault][0] in of_cause(report, "backward"), report


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", CAST)
def test_a_cast_alone_raises_no_alarm(dtype, seed):
    report = check(Rounded(None, dtype), F.cross_entropy, vectors(), seed=seed)
    assert report.ok, report
    assert report.checked


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", ["sign", "factor", "transpose"])
def test_a_fault_behind_a_large_constant_is_found(fault, seed):
    report = check(faults.Net(fault), shifted, faults.batch(), seed=seed)
    assert not report.ok, report
    assert not of_cause(check(faults.Net(), shifted, faults.batch(), seed=seed), "backward")


def test_what_the_noise_hides_is_said_and_not_called_checked():
    loss = lambda s, y: F.cross_entropy(s, y) + 1e16  # noqa: E731 - one ulp is 2
    for fault in (None, "sign"):
        report = check(faults.Net(fault), loss, faults.batch())
        undecided = of_cause(report, "precision")
        assert set(undecided) == {*dict(faults.Net().named_parameters()), "input"}
        assert not any(one.error for one in undecided.values())
        assert report.ok and not report.agrees and report.checked == ()
        assert set(report.undecided) == set(undecided)
        said = undecided["w"].evidence
        assert "undecided" in said and "the loss carries rounding noise of" in said
        assert "agree" not in str(report).splitlines()[0]
        assert json.loads(report.json())["undecided"]
        with pytest.raises(AssertionError, match=r"nothing was checked.*rounding noise"):
            assert_gradients(faults.Net(fault), loss, faults.batch())


def test_a_tensor_hidden_behind_the_noise_of_others_is_decided_alone():
    class Faint(nn.Module):
        """Its second layer matters 1e-8 times as much as the first."""

        def __init__(self, fault):
            super().__init__()
            self.main, self.faint = Rounded(None, torch.float64), Rounded(fault, torch.float64)

        def forward(self, x):
            return self.main(x) + 1e-8 * self.faint(x)

    report = check(Faint("sign"), F.cross_entropy, vectors())
    assert set(of_cause(report, "backward")) == {"faint.w"}
    assert check(Faint(None), F.cross_entropy, vectors()).agrees


def test_a_detached_weight_behind_noise_is_not_called_unused():
    class Cut(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight.detach(), self.bias)

    report = check(Cut(8, 4), shifted, vectors())
    assert of_cause(report, "no-gradient")["weight"].error
    report = check(Cut(8, 4), lambda s, y: F.cross_entropy(s, y) + 1e16, vectors())
    assert "weight" in report.undecided and not of_cause(report, "no-gradient")


def test_how_closely_noisy_slopes_were_compared_is_said():
    report = check(Rounded(), F.cross_entropy, vectors())
    assert report.agrees
    assert any("smaller errors cannot be seen" in one for one in report.notices)


class Gain(torch.autograd.Function):
    """``x * w`` with one w per column, whatever the dtypes; the fault is a factor."""

    @staticmethod
    def forward(ctx, x, w, factor):
        ctx.factor = factor
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g * w, ctx.factor * (g * x).sum(0), None


class Autocast(nn.Module):
    """Layers that run in bfloat16 where their weights are float32."""

    def __init__(self, factor=1):
        super().__init__()
        self.factor = factor
        self.body = Rounded()
        self.w = nn.Parameter(torch.linspace(0.5, 1.5, 8))

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            y = F.linear(Gain.apply(x, self.w, self.factor), self.body.first.weight)
            return self.body.last(torch.tanh(y))


@pytest.mark.parametrize("factor", [-1, 2])
def test_a_fault_under_autocast_is_found(factor):
    report = check(Autocast(factor), F.cross_entropy, vectors())
    assert set(of_cause(report, "backward")) == {"w"}, report


def test_autocast_alone_raises_no_alarm():
    report = check(Autocast(), F.cross_entropy, vectors())
    assert report.ok, report
    assert report.checked
