"""Gradients as training takes them: without gradients of inputs, by `backward`, in mixed dtypes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from ravine.gradients import check
from tests.gradients import faults
from tests.gradients.test_sandbox import data, own, passes


class Asks(torch.autograd.Function):
    """A product whose gradient by the weight is wrong where the input needs none."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w.t()

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        factor = 1 if ctx.needs_input_grad[0] else 2
        return g @ w, factor * g.t() @ x


def asking():
    return own(lambda self, x: Asks.apply(x, self.layer.weight) + self.layer.bias)


def test_a_fault_where_inputs_need_no_gradient_is_found():
    report = check(asking(), F.cross_entropy, data())
    (finding,) = report.findings
    assert (finding.parameter, finding.cause, finding.error) == ("layer.weight", "backward", True)
    assert "only where inputs need no gradient" in finding.evidence
    assert finding.analytic == pytest.approx(2 * finding.numeric)
    assert [one.name for one in report.checked if not one.agrees] == ["layer.weight"]


def test_inputs_that_need_gradients_are_checked_as_such():
    x, y = data()
    passes(asking(), (x.requires_grad_(), y))


def test_a_loss_that_asks_whether_inputs_need_gradients_is_said():
    def forward(self, x):
        return self.layer(x) * (2 if x.requires_grad else 1)

    report = check(own(forward), F.cross_entropy, data())
    assert report.agrees and "where inputs need no gradient" in report.notices[0]


def reentrant(self, x):
    return self.layer(
        checkpoint(lambda z: F.dropout(self.inner(z).relu(), 0.3), x, use_reentrant=True)
    )


def test_reentrant_checkpoints_are_checked():
    x, y = data()
    model = own(reentrant, inner=nn.Linear(3, 3))
    passes(model, (x.requires_grad_(), y), also={"randomness"})
    assert x.grad is None and all(one.grad is None for one in model.parameters())


def test_reentrant_checkpoints_of_inputs_without_gradients_train_nothing():
    report = check(own(reentrant, inner=nn.Linear(3, 3)), F.cross_entropy, data())
    errors = {one.parameter: one.evidence for one in report.findings if one.error}
    assert set(errors) == {"inner.weight", "inner.bias"}
    assert all("there it gets none" in one for one in errors.values())


def test_a_fault_behind_a_reentrant_checkpoint_is_found():
    class Inside(faults.Net):
        def forward(self, x):
            return checkpoint(super().forward, x, use_reentrant=True)

    x, y = faults.batch()
    report = check(Inside("factor"), F.cross_entropy, (x.requires_grad_(), y))
    assert {one.parameter for one in report.findings if one.error} == {"w"}


MIXED = {
    "double last": (
        lambda: own(
            lambda self, x: self.head(self.layer(x).double()), head=nn.Linear(2, 2).double()
        ),
        "float64",
    ),
    "double first": (
        lambda: own(
            lambda self, x: self.layer(self.f(x.double()).float()), f=nn.Linear(3, 3).double()
        ),
        "float32",
    ),
    "double buffer": (
        lambda: own(
            lambda self, x: self.layer((x.double() @ self.m).to(x.dtype)), m=torch.eye(3).double()
        ),
        "float64",
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_models_of_two_dtypes_are_checked(name):
    make, dtype = MIXED[name]
    model = make()
    if name == "double buffer":
        kept = vars(model).pop("m")
        model.register_buffer("m", kept)
    report = check(model, F.cross_entropy, data(), full=True)
    assert report.agrees and not report.findings, report
    assert report.dtype == dtype


def test_a_fault_in_a_model_of_two_dtypes_is_found():
    class Mixed(faults.Net):
        def __init__(self, fault):
            super().__init__(fault)
            self.head = nn.Linear(2, 2).double()

        def forward(self, x):
            out = super().forward(x)
            return out + self.head(out[:, :2].double()).sum(1, keepdim=True).to(out.dtype)

    report = check(Mixed("factor"), F.cross_entropy, faults.batch())
    assert "w" in {one.parameter for one in report.findings if one.error}, report


def test_large_losses_of_float64_models_are_finite():
    x, y = data()
    model = own(lambda self, x: self.layer(x)).double()
    loss = lambda out, y: out.square().mean() * 1e45  # noqa: E731
    report = check(model, loss, (x.double(), y))
    assert report.agrees and not report.findings, report


@pytest.mark.parametrize("kind", [list, tuple])
def test_parameters_in_plain_containers_are_said(kind):
    weights = kind([nn.Parameter(torch.eye(3)), nn.Parameter(torch.eye(3))])
    report = check(
        own(lambda self, x: self.layer(x @ self.ws[0]), ws=weights), F.cross_entropy, data()
    )
    assert report.ok
    (notice,) = report.notices
    assert notice.startswith("ws holds tensors") and "no optimizer" in notice


def test_layers_in_a_plain_dict_are_said_and_registered_ones_are_not():
    inside = nn.Linear(3, 3)
    model = own(lambda self, x: self.layer(self.parts["a"](x)), parts={"a": inside})
    assert "parts holds tensors" in check(model, F.cross_entropy, data()).notices[0]
    model.registered = inside
    assert check(model, F.cross_entropy, data()).notices == ()


def test_a_plain_tensor_that_needs_gradients_is_said():
    weight = torch.eye(3, requires_grad=True)
    report = check(own(lambda self, x: self.layer(x @ self.w), w=weight), F.cross_entropy, data())
    assert report.ok and report.notices[0].startswith("w holds tensors with gradients")


def test_a_loss_that_takes_turns_between_two_values_is_not_checked():
    calls = []

    def forward(self, x):
        calls.append(1)
        return self.layer(x) * (1 + len(calls) % 2)

    report = check(own(forward), F.cross_entropy, data())
    assert [one.cause for one in report.findings] == ["randomness"]
    assert report.checked == () and report.ok and not report.agrees


def test_constants_are_widened_where_only_the_graph_meets_them():
    def forward(self, x):
        return self.layer(x @ torch.eye(x.shape[1]) if torch.is_grad_enabled() else x)

    passes(own(forward), data())


def test_a_model_that_trains_in_float32_only_is_checked_there():
    def forward(self, x):
        h = self.layer(x)
        if h.requires_grad and h.dtype != torch.float32:
            raise RuntimeError("training kernel: float32 only")
        return h

    report = check(own(forward), F.cross_entropy, data())
    assert report.ok and report.dtype == "float32"
    assert "training kernel: float32 only" in report.notices[0]


class NotFiniteInSingle(torch.autograd.Function):
    """The identity, with a gradient in float32 that is not finite."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * NotFiniteInSingle.factor if g.dtype == torch.float32 else g


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_fault_of_training_is_told_beside_values_that_are_not_finite(monkeypatch, factor):
    monkeypatch.setattr(NotFiniteInSingle, "factor", factor, raising=False)

    def forward(self, x):
        return Asks.apply(x, self.layer.weight) + NotFiniteInSingle.apply(self.layer.bias)

    report = check(own(forward), F.cross_entropy, data())
    found = {(one.parameter, one.cause) for one in report.findings if one.error}
    assert found == {("layer.weight", "backward"), ("layer.bias", "non-finite")}
