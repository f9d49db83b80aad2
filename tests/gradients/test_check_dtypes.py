"""Faults that show in one dtype only, and constants that would keep a check from float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from tests.gradients import correct, faults
from tests.gradients.correct import seeded


def vectors():
    return correct.vectors()


def made_in_the_loss(s, y):
    return F.cross_entropy(s, y, weight=torch.tensor([1.0, 2.0, 0.5, 0.3]))


def captured(s, y):
    return F.cross_entropy(s, y, weight=correct.CLASS_WEIGHTS)


@pytest.mark.parametrize("loss", [captured, made_in_the_loss])
@pytest.mark.parametrize("full", [False, True])
def test_float32_constants_of_a_loss_do_not_coarsen_the_check(loss, full):
    report = check(faults.Net("single"), loss, faults.batch(), full=full)  # 1 % in one weight
    assert report.dtype == "float64"
    (finding,) = report.findings
    assert (finding.parameter, finding.index) == ("w", (3, 5))
    sound = check(faults.Net(), loss, faults.batch(), full=full)
    assert sound.agrees and sound.largest_error < 1e-6


class OnlyIn(torch.autograd.Function):
    """``x * w`` with a backward that is wrong in one dtype."""

    @staticmethod
    def forward(ctx, x, w, dtype, factor):
        ctx.dtype, ctx.factor = dtype, factor
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g * w, (g * x).sum(0) * (ctx.factor if x.dtype == ctx.dtype else 1), None, None


class Narrowly(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.w = factor, nn.Parameter(torch.linspace(0.5, 1.5, 8))
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        return self.out(torch.tanh(OnlyIn.apply(x, self.w, torch.float32, self.factor)))


@pytest.mark.parametrize(("factor", "words"), [(-1, "the sign is wrong"), (2, "gives 2 times")])
def test_a_fault_in_float32_alone_is_an_error(factor, words):
    report = check(seeded(Narrowly, factor), F.cross_entropy, vectors())
    assert not report.ok
    (finding,) = report.findings
    assert (finding.parameter, finding.cause, finding.error) == ("w", "backward", True)
    assert "only in float32" in finding.evidence and words in finding.evidence
    assert finding.analytic == pytest.approx(factor * finding.numeric, rel=1e-4)
    assert [one.name for one in report.checked if not one.agrees] == ["w"]
    assert check(seeded(Narrowly, 1), F.cross_entropy, vectors()).agrees


def test_a_model_that_is_another_function_in_float32_is_no_error():
    class Branches(nn.Linear):
        def forward(self, x):
            return super().forward(x) * (3 if x.dtype == torch.float32 else 1)

    report = check(seeded(Branches, 8, 4), F.cross_entropy, vectors())
    assert report.ok
    (finding,) = report.findings
    assert finding.cause == "precision" and "computes something else" in finding.evidence
