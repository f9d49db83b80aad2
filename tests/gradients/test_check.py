"""The check as a whole: causes, bad input, what it leaves alone, its report."""

import json
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.core.errors import DataError, ModelError, SettingError
from ravine.gradients import check
from ravine.testing import assert_gradients
from tests.gradients import faults


def data(rows=5, width=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator), torch.zeros(rows).long()


def small():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


class Kinked(nn.Module):
    """ReLU of a product that is 0 at w = 0."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, 4))
        self.out = nn.Parameter(torch.linspace(0.5, 1, 4))

    def forward(self, x):
        return F.relu(x @ self.w) @ self.out


def test_a_kink_is_noted_with_both_one_sided_derivatives():
    report = check(Kinked(), lambda out, y: out.sum(), (torch.ones(1, 3), torch.zeros(1)))
    assert report.ok
    (finding,) = report.findings
    assert (finding.parameter, finding.cause) == ("w", "kink")
    # d/dw = out where the product is positive, else 0: torch takes 0 at 0.
    out = Kinked().out[finding.index[1]].item()
    assert finding.analytic == 0
    assert finding.numeric == pytest.approx(out / 2, rel=1e-6)
    assert f"are 0 and {out:.6g}" in finding.evidence


def test_a_fault_behind_a_kink_is_still_found():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.kinked = Kinked()
            self.w = nn.Parameter(torch.eye(3))
            self.b = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return self.kinked(x) + faults.Product.apply(x, self.w, self.b, "factor").sum(1)

    report = check(Both(), lambda out, y: (out**2).sum(), (torch.ones(2, 3), torch.zeros(2)))
    found = {one.parameter: one.cause for one in report.findings}
    assert found["w"] == "backward" and not report.ok


def test_too_few_digits():
    class Cancels(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return (y + 1e5) ** 2 / 1e5 - 1e5 - 2 * y  # y^2 / 1e5

    batch = data()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        report = check(Cancels(3, 2), lambda out, y: (out**2).sum() * 1e5, batch)
    assert report.ok
    assert "precision" in {one.cause for one in report.findings}
    finding = next(one for one in report.findings if one.cause == "precision")
    assert "in float64 it passes" in finding.evidence


def test_randomness_that_cannot_be_held_is_said():
    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x) * (1 + 0.01 * random.SystemRandom().random())

    report = check(Noisy(3, 2), F.cross_entropy, data())
    (finding,) = report.findings
    assert (finding.cause, finding.error) == ("randomness", False)
    assert "nothing could be checked" in finding.evidence and report.checked == ()


def test_statistics_that_change_the_loss_are_held():
    class Drifts(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return self.layer(x) * self.seen

    report = check(Drifts(), F.cross_entropy, data(), full=True)
    (finding,) = report.findings
    assert (finding.parameter, finding.cause, finding.error) == ("seen", "mode", False)
    assert "gives a loss that differs by" in finding.evidence


def test_frozen_and_unused_are_noted_but_no_errors():
    model = small()
    model[0].weight.requires_grad_(False)
    model.register_parameter("spare", nn.Parameter(torch.ones(2)))
    report = check(model, F.cross_entropy, data())
    said = {
        one.parameter: (one.cause, one.error, one.evidence.split(":")[0]) for one in report.findings
    }
    assert said == {
        "0.weight": ("no-gradient", False, "frozen"),
        "spare": ("no-gradient", False, "unused"),
    }
    assert report.ok


def test_everything_detached():
    report = check(small(), lambda out, y: out.detach().square().sum(), data())
    assert not report.ok
    assert {one.cause for one in report.findings} == {"no-gradient"}
    assert {one.parameter for one in report.findings} == {
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
        "input",
    }


def test_non_finite_names_the_first_module_forward_and_backward():
    class Root(nn.Module):
        def forward(self, x):
            return x.clamp(min=0).sqrt()  # the derivative at 0 is infinite

    class Log(nn.Module):
        def forward(self, x):
            return (x - x.detach()).log()

    for module, words in (
        (Root(), "1 (Root), in the backward pass"),
        (Log(), "1 (Log), in the forward pass"),
    ):
        model = nn.Sequential(nn.Linear(3, 4), module, nn.Linear(4, 2))
        with torch.no_grad():
            model[0].weight.zero_()
            model[0].bias.fill_(-1.0 if isinstance(module, Root) else 1.0)
            if isinstance(module, Root):
                model[0].bias.zero_()
        report = check(model, F.cross_entropy, data())
        assert not report.ok
        (finding,) = report.findings
        assert finding.cause == "non-finite" and words in finding.evidence


def test_overflow_in_float32_only():
    class Big(nn.Linear):
        def forward(self, x):
            return torch.exp(super().forward(x) + 95) * 1e-41

    with torch.random.fork_rng():
        torch.manual_seed(0)
        report = check(Big(3, 2), F.cross_entropy, data())
    assert not report.ok
    finding = report.findings[0]
    assert finding.cause == "non-finite" and "in float64 they are finite" in finding.evidence


def test_a_model_that_cannot_run_in_float64():
    class Narrow(nn.Linear):
        def forward(self, x):
            return torch.mm(x, self.weight.float().T) + self.bias

    report = check(Narrow(3, 2), F.cross_entropy, data())
    assert report.ok and report.dtype == "float32"
    assert "does not run in float64" in report.notices[0]


@pytest.mark.parametrize("fault", [None, "sign", "factor", "transpose"])
def test_float32_inside_raises_no_alarm_and_hides_no_fault(fault):
    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.b = (
                nn.Parameter(torch.eye(3).roll(1, 0) + 0.1),
                nn.Parameter(torch.ones(3)),
            )
            self.first = nn.Parameter(torch.linspace(-1, 1, 9).view(3, 3).clone())

        def forward(self, x):
            y = torch.tanh(x @ self.first)
            return faults.Product.apply(y, self.w, self.b, fault).float().tanh()

    report = check(Inside(), F.cross_entropy, data())
    wrong = {one.parameter for one in report.findings if one.error}
    assert wrong == {None: set(), "transpose": {"first", "input"}}.get(fault, {"w"})
    assert report.agrees is (fault is None)


def test_a_loss_that_reads_the_model_is_said():
    model = small()
    loss = lambda out, y: F.cross_entropy(out, y) + model[0].weight.square().sum()  # noqa: E731
    report = check(model, loss, data())
    assert report.ok and "reads parameters of the model itself" in report.notices[0]


def test_what_is_checked_stays_as_it_was():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    model[3].eval()
    x, y = data()
    F.cross_entropy(model(x), y).backward()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    grads = [p.grad.clone() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    kept = x.clone()
    check(model, F.cross_entropy, (x, y), full=True)
    assert all(v.equal(state[k]) for k, v in model.state_dict().items())
    assert all(p.grad.equal(g) for p, g in zip(model.parameters(), grads, strict=True))
    assert [m.training for m in model.modules()] == modes
    assert torch.get_rng_state().equal(before[0]) and random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002
    assert x.equal(kept) and not x.requires_grad and x.grad is None


def test_the_same_seed_gives_the_same_report():
    one, two = (
        check(faults.Net("single"), F.cross_entropy, faults.batch(), seed=4) for _ in range(2)
    )
    assert one == two


@pytest.mark.parametrize(
    ("model", "loss", "batch", "error", "words"),
    [
        (
            small(),
            F.cross_entropy,
            (torch.ones(5, 3).long(), data()[1]),
            ModelError,
            r"an input is torch.int64: give x.float\(\)",
        ),
        (
            small(),
            lambda out, y: out,
            data(),
            ModelError,
            r"loss must be a scalar, got shape \(5, 2\)",
        ),
        (small(), lambda out, y: 1.0, data(), ModelError, "loss must return a tensor"),
        (
            small().half(),
            F.cross_entropy,
            data(),
            ModelError,
            r"0.weight is torch.float16.*model.float\(\)",
        ),
        (
            small(),
            F.cross_entropy,
            (data()[0].bfloat16(), data()[1]),
            DataError,
            "an input is torch.bfloat16",
        ),
        (
            small(),
            F.cross_entropy,
            (torch.ones(0, 3), torch.ones(0).long()),
            DataError,
            r"at least one sample, got an input of shape \(0, 3\)",
        ),
        (small(), F.cross_entropy, ([1, 2], 3), DataError, "hold no tensor"),
        (
            small(),
            F.cross_entropy,
            torch.ones(5, 3),
            DataError,
            r"batch must be \(inputs, targets\)",
        ),
        (
            small(),
            F.cross_entropy,
            (torch.ones(5, 4), data()[1]),
            ModelError,
            "cannot be evaluated on the batch",
        ),
        (F.relu, F.cross_entropy, data(), ModelError, "model must be a torch.nn.Module"),
        (small(), 3, data(), ModelError, "loss must be callable"),
    ],
)
def test_bad_input(model, loss, batch, error, words):
    with pytest.raises(error, match=words):
        check(model, loss, batch)


def test_bad_counts():
    for sample in (0, -1, 2.5, True):
        with pytest.raises(SettingError, match="sample must be an integer >= 1"):
            check(small(), F.cross_entropy, data(), sample=sample)
    with pytest.raises(SettingError, match="leave out sample"):
        check(small(), F.cross_entropy, data(), full=True, sample=3)


def test_too_large_for_a_full_check_samples_and_says_so():
    model = nn.Sequential(nn.Linear(3, 80_000, bias=False), nn.Tanh(), nn.Linear(80_000, 2))
    report = check(model, F.cross_entropy, data(), full=True)
    assert report.ok
    assert "400,017 entries are too many for a full check" in report.notices[0]
    assert [one.entries for one in report.checked] == [1000, 1000, 2, 15]


def test_the_report_as_table_json_and_text():
    report = check(faults.Net("factor"), F.cross_entropy, faults.batch())
    page = json.loads(report.json())
    assert page["ok"] is False
    assert page["findings"][0]["parameter"] == "w" and page["findings"][0]["cause"] == "backward"
    assert page["findings"][0]["relative_error"] == pytest.approx(0.5, rel=1e-5)
    table = report.frame()
    assert list(table["parameter"]) == ["w"] and list(table["error"]) == [True]
    assert "WRONG GRADIENTS" in str(report) and "ERROR backward at w[" in str(report)
    empty = check(small(), F.cross_entropy, data())
    assert empty.frame().empty and json.loads(empty.json())["ok"] is True


def test_assert_gradients():
    assert_gradients(small(), F.cross_entropy, data())
    with pytest.raises(AssertionError, match="autograd gives 2 times"):
        assert_gradients(faults.Net("factor"), F.cross_entropy, faults.batch())
