"""What evidence says about small errors, and causes that are told by undoing them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from ravine.gradients._patterns import pattern
from tests.gradients.correct import seeded, words
from tests.gradients.test_check_scales import Net, vectors


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("error", [1e-3, 1e-4, 1e-5])
def test_a_factor_near_1_is_told_with_its_digits(error):
    report = check(seeded(Net, 1 + error, False), F.cross_entropy, vectors())
    evidence = {one.parameter: one.evidence for one in report.findings if one.error}
    assert f"autograd gives {1 + error:.7g} times" in evidence["a.weight"], report


def test_an_error_that_is_no_factor_is_not_called_one():
    true = drawn(8, 16)
    entries = torch.arange(true.numel())
    for given in (true + 1e-3 * drawn(16, 8).T, true + 1e-3):
        said = pattern(given, entries, true.flatten(), {})
        assert "factor is wrong" not in said and "reduction" not in said
    bias = drawn(16)
    said = pattern(bias * (1 + 3e-6), torch.arange(16), bias, {})
    assert "autograd gives 1.000003 times" in said
    assert "no single factor" in pattern(bias + 1e-5, torch.arange(16), bias, {})
    assert "autograd gives 3/2 times" in pattern(1.5 * bias, torch.arange(16), bias, {})


def test_one_sample_of_many_that_is_off_is_no_factor():
    class OneRow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            g = g.clone()
            g[3] *= 1 + 1e-3
            return g

    class Model(nn.Linear):
        def forward(self, x):
            return OneRow.apply(super().forward(x))

    report = check(seeded(Model, 8, 4), F.cross_entropy, vectors(rows=512))
    evidence = {one.parameter: one.evidence for one in report.findings if one.error}
    assert evidence and not any("a factor is wrong" in one for one in evidence.values()), report


class Square(torch.autograd.Function):
    """Keeps its input as an attribute of the context."""

    @staticmethod
    def forward(ctx, x, inside):
        ctx.x = x
        y = x * x
        if inside:
            x.mul_(0.5)
        return y

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.x * g, None


class Overwriting(nn.Module):
    def __init__(self, inside):
        super().__init__()
        self.inside, self.a, self.c = inside, nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x):
        h = self.a(x) * 1
        made = Square.apply(h, self.inside)
        if not self.inside:
            h.data.mul_(0.3)
        return self.c(made)


@pytest.mark.parametrize("inside", [False, True])
def test_an_overwritten_attribute_of_the_context_is_named(inside):
    report = check(seeded(Overwriting, inside), F.cross_entropy, vectors())
    assert not report.ok
    said = "saved for the backward pass by Square is overwritten in place"
    assert any(said in one.evidence for one in report.findings), report


def test_a_term_lost_to_item_is_named():
    class Penalised(nn.Linear):
        def forward(self, x):
            return super().forward(x) * self.weight.square().sum().item()

    report = check(seeded(Penalised, 8, 4), F.cross_entropy, vectors())
    (finding,) = [one for one in report.findings if one.parameter == "weight"]
    assert "item() at test_check_words.py" in finding.evidence, report


class Frequent(nn.Module):
    def __init__(self, factor=1.0):
        super().__init__()
        self.e, self.o = nn.Embedding(11, 6, scale_grad_by_freq=True), Net(factor, False)
        self.mix = nn.Linear(6, 8)

    def forward(self, x):
        return self.o(self.mix(self.e(x).mean(1)))


@pytest.mark.parametrize("keywords", [{}, {"full": True}])
def test_a_gradient_scaled_by_frequency_is_by_design(keywords):
    report = check(seeded(Frequent), F.cross_entropy, words(), **keywords)
    assert report.ok, report
    (finding,) = report.findings
    assert finding.parameter == "e.weight" and "scale_grad_by_freq" in finding.evidence
    assert not check(seeded(Frequent, 2.0), F.cross_entropy, words(), **keywords).ok
