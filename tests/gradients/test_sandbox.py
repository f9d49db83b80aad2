"""Models that write to their inputs, nest them, take gradients themselves, and tie tensors."""

from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from ravine.gradients._points import Objective, values_at
from ravine.gradients._sandbox import sandbox
from tests.gradients import faults

ROWS = 5


def data(width=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, width, generator=generator)
    return x, torch.randint(2, (ROWS,), generator=generator)


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make()


class Own(nn.Module):
    """A linear layer, and a forward given as a function of the module and its inputs."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.body = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs, **named):
        return self.body(self, *inputs, **named)


def own(forward, **parts):
    return seeded(lambda: Own(forward, **parts))


def passes(model, batch, loss=F.cross_entropy, also=()):
    """Check every entry; nothing may be wrong, and nothing noted but the causes named."""
    report = check(model, loss, batch, full=True)
    assert report.ok, report
    assert {one.cause for one in report.findings} == set(also), report
    assert report.dtype == "float64"
    assert all(one.entries == torch.Size(one.shape).numel() for one in report.checked)
    return report


def names(report):
    return [one.name for one in report.checked]


def set_column(self, x):
    x[:, 0] = 0
    return self.layer(x)


WRITING = {
    "relu in place": lambda self, x: self.layer(F.relu(x, inplace=True)),
    "add": lambda self, x: self.layer(x.add_(1)),
    "slice": set_column,
}


@pytest.mark.parametrize("name", WRITING)
def test_a_model_may_write_to_its_input(name):
    x, y = data()
    kept = x.clone()
    report = passes(own(WRITING[name]), (x, y))
    assert names(report) == ["layer.weight", "layer.bias", "input"]
    assert not report.notices  # batches of points need no second way
    assert x.equal(kept)


def test_a_loss_may_write_to_targets():
    x, _ = data()
    targets = torch.ones(ROWS, 2)
    passes(
        own(lambda self, x: self.layer(x)), (x, targets), lambda out, t: (out - t.mul_(2)).norm()
    )
    assert targets.equal(torch.ones(ROWS, 2))


def test_a_wrong_gradient_behind_a_write_is_found():
    class Written(faults.Net):
        def forward(self, x):
            return super().forward(x.mul_(2))

    report = check(Written("factor"), F.cross_entropy, faults.batch())
    assert [one.parameter for one in report.findings if one.error] == ["w"]


class Pair(NamedTuple):
    a: torch.Tensor
    b: torch.Tensor


def test_tensors_at_any_depth_are_converted_and_checked():
    x, y = data()
    b = torch.linspace(-1, 1, 2 * ROWS).view(ROWS, 2)
    nested = own(lambda self, pair: self.layer(pair[0]) * pair[1].sin())
    assert names(passes(nested, ((x, b), y)))[2:] == ["input[0]", "input[1]"]
    named = own(lambda self, pair: self.layer(pair.a) * pair.b.sin())
    assert names(passes(named, (Pair(x, b), y)))[2:] == ["input[0]", "input[1]"]
    keyword = own(lambda self, x: self.layer(x[0]) * x[1]["n"][0].sin())
    report = passes(keyword, ({"x": (x, OrderedDict(n=[b, 3]))}, y))
    assert names(report)[2:] == ["input['x'][0]", "input['x'][1]['n'][0]"]
    several = own(lambda self, x, pair: self.layer(x) * pair[0].sin())
    assert names(passes(several, (x, [b, None], y)))[2:] == ["input[0]", "input[1][0]"]


def test_nested_targets_are_converted():
    x, _ = data()
    loss = lambda out, t: (torch.mm(out, t["w"][0]) - t["y"]).square().sum()  # noqa: E731
    targets = {"w": (torch.eye(2),), "y": torch.ones(ROWS, 2)}
    passes(own(lambda self, x: self.layer(x)), (x, targets), loss)


def test_a_wrong_gradient_by_a_nested_input_is_named():
    x, y = data()

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    model = own(lambda self, pair: self.layer(pair[0] + Doubled.apply(pair[1][0])))
    report = check(model, F.cross_entropy, ((x, [x.clone()]), y))
    assert [one.parameter for one in report.findings if one.error] == ["input[1][0]"]


def penalised(self, x):
    out = self.layer(x).tanh()
    (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    return out * (1 + slope.square().sum())


def test_a_model_may_take_gradients_itself():
    x, y = data()

    def forward(self, x):
        return penalised(self, x.requires_grad_())

    report = passes(own(forward), (x, y))
    assert "one by one" in report.notices[0]


def test_a_loss_may_take_gradients_itself():
    x, y = data()

    def loss(out, y):
        (slope,) = torch.autograd.grad(out.square().sum(), out, create_graph=True)
        return F.cross_entropy(out, y) + slope.square().mean()

    passes(own(lambda self, x: self.layer(x)), (x, y), loss)


def test_a_penalty_only_where_gradients_are_recorded_raises_no_alarm():
    def forward(self, x):
        if torch.is_grad_enabled():
            return self.layer(x) * (1 + self.layer.weight.square().sum())
        return self.layer(x)

    passes(own(forward), data())


def test_evaluations_that_take_gradients_leave_no_graph_and_see_what_buffers_hold():
    def forward(self, x):
        self.seen += 1
        return penalised(self, x) * self.seen

    box = sandbox(own(forward), F.cross_entropy, data(), torch.float64, 0)
    box.whole.model.register_buffer("seen", torch.zeros(()))
    seen = box.whole.model.seen
    box.moving = [(seen, seen.clone())]
    with torch.enable_grad():
        expected = box.loss().detach()
    first, again = box.value(), box.value()
    assert first.equal(expected) and again.equal(expected) and not first.requires_grad


class Shared(nn.Module):
    """A module in two places, a weight under two names, statistics under two names."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight
        self.twice = nn.Sequential(self.a, nn.Tanh(), self.a)
        self.first = nn.BatchNorm1d(3, affine=False)
        self.second = nn.BatchNorm1d(3, affine=False)
        self.second.running_mean = self.first.running_mean
        self.second.running_var = self.first.running_var

    def forward(self, x):
        return self.b(self.second(self.first(self.twice(x)).sin()))


@pytest.mark.parametrize("training", [True, False])
def test_values_are_right_where_tensors_stand_in_several_places(training):
    model = seeded(Shared).train(training)
    report = passes(model, data(), also={"mode"} if training else ())
    assert names(report) == ["a.weight", "a.bias", "b.bias", "input"] and not report.notices


def test_tied_buffers_stay_tied_in_another_dtype():
    model = sandbox(seeded(Shared), F.cross_entropy, data(), torch.float64, 0).whole.model
    assert model.first.running_mean is model.second.running_mean
    assert model.first.running_mean.dtype == torch.float64
    assert model.b.weight is model.a.weight


def test_a_batch_of_points_equals_single_ones_where_weights_are_tied():
    box = sandbox(seeded(Shared).eval(), F.cross_entropy, data(), torch.float64, 0)
    plain = [one.detach() for one in box.subjects]
    before = plain[0].clone()
    entries = torch.arange(9)
    moves = torch.full((9,), 0.1, dtype=torch.float64)
    heard = []

    class Listener:
        def progressed(self, what, done, total): ...

        def noticed(self, text):
            heard.append(text)

    together = values_at(
        Objective(box.names, plain, box.value, box.pure, Listener()), 0, entries, moves
    )
    singly = []
    for entry in range(9):
        plain[0].view(-1)[entry] += 0.1
        singly.append(box.value())
        plain[0].copy_(before)
    torch.testing.assert_close(together, torch.stack(singly), rtol=1e-13, atol=0)
    assert not heard
