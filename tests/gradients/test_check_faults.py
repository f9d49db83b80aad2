"""Planted faults in a small CNN: each is found, with its cause, and named in the evidence."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from tests.gradients import faults

# fault: (a parameter that must be named, words of the evidence)
WRONG = {
    "sign": ("w", "the sign is wrong"),
    "factor": ("w", "autograd gives 2 times"),
    "transpose": (
        "mix.weight",
        "Product.backward gives a wrong gradient for its input x: a transpose is missing",
    ),
    "transposed weight": ("w", "it is the transpose"),
    "bias sum": ("b", "the sum over the batch is left out: only row 0 of 6"),
    "bias mean": ("b", "1 / the batch size, 1 / 6"),
    "broadcast": ("scale", "the broadcast is reduced over the wrong dimensions"),
    "neighbour": (
        "conv.weight",
        "input x: every entry is that of its neighbour along dimension 1",
    ),
    "neighbour scale": ("scale", "neighbour along dimension 0"),
    "overwritten": ("mix.weight", "saved for the backward pass by Squash is overwritten in place"),
    "overwritten later": (
        "mix.weight",
        "saved for the backward pass by Squash is overwritten in place",
    ),
    "detach": ("w", "a term is left out: detach() at faults.py"),
    "cross terms": (
        "out.weight",
        "Softmax.backward gives a wrong gradient for its input s: the cross terms are left out",
    ),
    "hinge": (
        "out.weight",
        "Hinge.backward gives a wrong gradient for its input s: a term is left out: d out / d x[",
    ),
    "single": ("w", "1 of 256 entries found wrong"),
}


def report_on(fault, **keywords):
    loss = F.cross_entropy
    if fault == "hinge":
        loss = faults.OwnHinge(fault)
    elif fault in ("softmax", "cross terms"):
        loss = faults.picked
    return check(faults.Net(fault), loss, faults.batch(), **keywords)


@pytest.mark.parametrize("fault", [None, "softmax"])
def test_the_sound_network_passes(fault):
    report = report_on(fault, full=True)
    assert report.ok and report.findings == ()
    assert sum(one.entries for one in report.checked) == sum(
        torch.Size(one.shape).numel() for one in report.checked
    )


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_backward_is_found_and_named(fault):
    parameter, words = WRONG[fault]
    report = report_on(fault)
    assert not report.ok
    assert {one.cause for one in report.findings} == {"backward"}
    found = {one.parameter: one for one in report.findings}
    finding = found[parameter]
    assert words in finding.evidence
    assert abs(finding.analytic - finding.numeric) > 1e-3 * abs(finding.numeric)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_backward_is_found_at_any_seed(fault, seed):
    report = report_on(fault, seed=seed)
    found = {one.parameter: one.cause for one in report.findings}
    assert set(found.values()) == {"backward"} and WRONG[fault][0] in found


def test_what_lies_behind_the_fault_is_not_blamed():
    names = {one.parameter for one in report_on("transpose").findings}
    assert names == {"input", "conv.weight", "conv.bias", "scale", "mix.weight", "mix.bias"}
    assert {one.parameter for one in report_on("sign").findings} == {"w"}


def test_the_numbers_of_a_finding_are_right():
    report = report_on("factor")
    (finding,) = report.findings
    model, (x, y) = faults.Net().double(), faults.batch()
    F.cross_entropy(model(x.double()), y).backward()
    true = model.w.grad[finding.index]
    torch.testing.assert_close(finding.numeric, float(true), rtol=1e-6, atol=0)
    torch.testing.assert_close(finding.analytic, 2 * float(true), rtol=1e-9, atol=0)
    assert finding.relative_error == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("entry", [0, 77_777, 99_999])
def test_one_wrong_weight_of_100_000(entry):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 400, generator=generator), torch.randn(8, 250, generator=generator)
    report = check(faults.Wide(entry), F.mse_loss, (x, y))
    (finding,) = report.findings
    assert (finding.parameter, finding.cause) == ("w", "backward")
    assert finding.index == divmod(entry, 250)
    assert [one.index for one in finding.entries] == [divmod(entry, 250)]
    assert finding.analytic == pytest.approx(1.05 * finding.numeric, rel=1e-4)
    assert report.evaluations < 2000
    assert check(faults.Wide(), F.mse_loss, (x, y)).ok


def test_a_gradient_of_another_shape_names_both_shapes():
    (finding,) = report_on("shape").findings
    assert (finding.parameter, finding.cause, finding.error) == ("w", "backward", True)
    assert "a gradient has shape (16, 15), its input has shape (16, 16)" in finding.evidence


def test_a_missing_gradient_among_those_returned():
    (finding,) = report_on("count").findings
    assert finding.cause == "backward"
    assert "incorrect number of gradients (expected 4, got 3)" in finding.evidence


def test_none_for_a_weight_in_use():
    (finding,) = report_on("none").findings
    assert (finding.parameter, finding.cause, finding.error) == ("w", "no-gradient", True)
    assert finding.analytic == 0 and finding.numeric != 0


def test_a_detached_layer_gets_no_gradient():
    findings = {one.parameter: one for one in report_on("detached layer").findings}
    assert set(findings) >= {"side.weight", "side.bias"}
    for name in ("side.weight", "side.bias"):
        assert (findings[name].cause, findings[name].error) == ("no-gradient", True)
        assert "detach() at faults.py" in findings[name].evidence


def test_in_place_change_that_autograd_notices():
    class Spoilt(nn.Linear):
        def forward(self, x):
            y = torch.sigmoid(super().forward(x))
            out = y * 2
            y.add_(1)
            return out + y

    x, y = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(3).long()
    (finding,) = check(Spoilt(4, 2), F.cross_entropy, (x, y)).findings
    assert (finding.cause, finding.error) == ("backward", True)
    assert "overwritten in place" in finding.evidence


def test_a_full_check_and_a_sample_find_the_same_entry():
    for keywords in ({"full": True}, {"sample": 200}):
        (finding,) = report_on("single", **keywords).findings
        assert (finding.parameter, finding.index) == ("w", (3, 5))
