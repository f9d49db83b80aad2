"""Points and parts that a check must treat with care: edges, kinks, padding, other dtypes."""

import json
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import Finding, check
from ravine.gradients._patterns import pattern
from ravine.testing import assert_gradients
from tests.gradients import correct, edges, faults
from tests.gradients.correct import CORRECT, seeded


def vectors(rows=6, width=8, classes=4):
    return correct.vectors(rows, width, classes)


def of_cause(report, cause):
    return {one.parameter: one for one in report.findings if one.cause == cause}


# Padding


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_padding_rows_are_left_out_and_said(kind):
    report = check(seeded(edges.padded, kind), F.cross_entropy, correct.words(), full=True, seed=2)
    assert report.agrees, report
    note = of_cause(report, "no-gradient")["0.weight"]
    assert not note.error and "padding: row 0" in note.evidence
    (embedding,) = (one for one in report.checked if one.name == "0.weight")
    assert embedding.entries == 10 * 6


def test_a_wrong_gradient_beside_a_padding_row_is_found():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.w = nn.Embedding(11, 6, padding_idx=0), nn.Parameter(torch.eye(6))

        def forward(self, x):
            y = self.embed(x).sum(1)
            return faults.Product.apply(y, self.w, torch.zeros(6).to(y), "transpose")

    model = seeded(Wrong)
    with torch.no_grad():
        model.w.copy_(torch.arange(36.0).view(6, 6) / 36)
    report = check(model, F.cross_entropy, correct.words(classes=6))
    assert set(of_cause(report, "backward")) == {"embed.weight"}
    assert of_cause(report, "backward")["embed.weight"].index[0] != 0


# Neighbours


class Normed(nn.Module):
    """Batch normalisation, ReLU, a product of one's own; its values rounded to float32 inside."""

    def __init__(self, fault, cast):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)
        self.mix = nn.Linear(4, 6)
        self.w, self.b = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(6))
        self.fault, self.cast = fault, cast

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x))).mean((2, 3))
        y = y.float().to(x.dtype) if self.cast else y
        return torch.tanh(faults.Product.apply(self.mix(y), self.w, self.b, self.fault))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize("fault", ["sign", "factor"])
def test_neighbours_of_a_fault_are_not_blamed(fault, cast, seed):
    report = check(seeded(Normed, fault, cast), F.cross_entropy, correct.images(), seed=seed)
    wrong = of_cause(report, "backward")
    assert set(wrong) == {"w"}
    assert "overwritten" not in wrong["w"].evidence


# Nothing to check


def test_a_loss_that_is_flat_is_no_agreement():
    class Dead(nn.Linear):
        def forward(self, x):
            return (super().forward(x) - 100).relu().sum(1)

    report = check(Dead(8, 4), F.mse_loss, (vectors()[0], torch.ones(6)))
    assert report.ok and report.checked == ()
    assert "no step tried changes the loss" in str(report).splitlines()[0]


def test_nothing_checked_is_no_agreement():
    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x) * (1 + 0.01 * random.SystemRandom().random())

    report = check(Noisy(8, 4), F.cross_entropy, vectors())
    assert report.ok and not report.agrees and report.checked == ()
    assert str(report).startswith("NOTHING WAS CHECKED: two evaluations differ")
    assert json.loads(report.json())["agrees"] is False
    with pytest.raises(AssertionError, match="nothing was checked: two evaluations differ"):
        assert_gradients(Noisy(8, 4), F.cross_entropy, vectors())


def test_a_loss_that_uses_nothing_is_no_agreement():
    model = nn.Linear(8, 4)
    with pytest.raises(AssertionError, match="nothing was checked: no parameter"):
        assert_gradients(model, lambda s, y: torch.ones((), requires_grad=True) * 2, vectors())


# Edges and kinks


def test_an_edge_of_the_domain_raises_no_alarm_alone():
    class Power(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return (x * self.p**1.5).sum(1)

    report = check(Power(), F.mse_loss, (torch.ones(4, 3), torch.ones(4)))
    assert report.ok, report


def test_a_wrong_value_at_the_edge_of_the_domain_is_found():
    class Edge(torch.autograd.Function):
        @staticmethod
        def forward(ctx, p):
            ctx.save_for_backward(p)
            return p**1.5

        @staticmethod
        def backward(ctx, g):
            (p,) = ctx.saved_tensors
            return torch.where(p == 0, 5.0, 1.5 * p**0.5) * g

    class Power(edges.PowerAtZero):
        def forward(self, x):
            return self.a(x) + Edge.apply(self.p)

    report = check(seeded(Power), F.mse_loss, (vectors()[0], torch.ones(6, 4)))
    found = of_cause(report, "backward")["p"]
    assert not report.ok
    assert {one.index for one in found.entries} == {(0,), (2,)}
    assert found.numeric == pytest.approx(0, abs=1e-6) and abs(found.analytic) > 1


def test_nan_is_no_relative_error_of_zero():
    nan = float("nan")
    for a, n in ((0.0, nan), (nan, 0.0), (1.0, nan), (nan, nan)):
        finding = Finding("w", "kink", "", False, None, a, n)
        assert finding.relative_error != finding.relative_error
        assert "relative error nan" in str(finding)


class OwnReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, at_zero, factor):
        ctx.at_zero, ctx.factor = at_zero, factor
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        slope = torch.where(x == 0, ctx.at_zero, (x > 0).to(g.dtype))
        return ctx.factor * slope * g, None, None


class AtZero(nn.Module):
    """ReLU of a product that is 0, in part of its columns."""

    def __init__(self, at_zero, factor=1.0):
        super().__init__()
        self.at_zero, self.factor = at_zero, factor
        self.w = nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4).clone())
        self.out = nn.Parameter(torch.tensor([0.5, -0.6, 0.7, 0.8]))
        with torch.no_grad():
            self.w[:, :2] = 0

    def forward(self, x):
        return OwnReLU.apply(x @ self.w, self.at_zero, self.factor) @ self.out


KINKED = (torch.tensor([[1.0, 2, 3], [2, 1, 1]]), torch.zeros(2))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at_zero", [100.0, 2.0, -1.0])
def test_a_value_at_a_kink_that_is_no_subgradient_is_an_error(at_zero, seed):
    report = check(AtZero(at_zero), lambda out, y: out.sum(), KINKED, seed=seed)
    assert not report.ok
    (finding,) = of_cause(report, "backward").values()
    assert finding.parameter == "w"
    assert "no subgradient for its input x" in finding.evidence
    assert "is outside [" in finding.evidence


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_any_subgradient_at_a_kink_will_do(at_zero):
    report = check(AtZero(at_zero), lambda out, y: out.sum(), KINKED, full=True)
    assert report.ok, report
    assert set(of_cause(report, "kink")) <= {"w", "input"}


@pytest.mark.parametrize("keywords", [{}, {"full": True}])
def test_a_backward_that_is_wrong_at_kinks_and_elsewhere_is_not_excused(keywords):
    report = check(AtZero(0.5, -2.0), lambda out, y: out.sum(), KINKED, **keywords)
    assert set(of_cause(report, "backward")) == {"w", "input"}


# Patterns


def test_a_clipped_gradient_is_named():
    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g @ w.T, (x.T @ g).clamp(-0.02, 0.02)

    class Layer(nn.Linear):
        def forward(self, x):
            return Clipped.apply(x, self.weight.T) + self.bias

    report = check(seeded(Layer, 8, 4), F.cross_entropy, vectors())
    assert "limited to 0.02: " in of_cause(report, "backward")["weight"].evidence


def test_a_limit_is_told_from_a_reduction():
    true = torch.tensor([0.1, -0.5, 0.9, -3.0])
    entries = torch.arange(4)
    assert "limited to 0.3: 3 of 4" in pattern(true.clamp(-0.3, 0.3), entries, true, {})
    assert "limited to 0.05: 4 of 4" in pattern(true.clamp(-0.05, 0.05), entries, true, {})
    mean = true.mean().expand(4).clone()
    assert "limited" not in pattern(mean, entries, true, {})


def test_the_numbers_of_correct_models_at_hard_points():
    for name in ("normalised rows, one of zeros", "rounded to bfloat16 inside"):
        make, loss, batch = CORRECT[name]
        for seed in range(3):
            report = check(seeded(make), loss, batch, seed=seed)
            assert report.ok, report


# Hooks


def test_hooks_on_parameters_are_said():
    model = seeded(nn.Linear, 8, 4)
    model.bias.register_hook(lambda g: 2 * g)
    report = check(model, F.cross_entropy, vectors())
    assert report.ok
    assert any("hooks on parameters" in one and "bias has one" in one for one in report.notices)
    assert check(seeded(nn.Linear, 8, 4), F.cross_entropy, vectors()).notices == ()
