"""What evaluations leave in modules: put back before each, whatever form it has."""

import functools
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ravine.gradients import check
from ravine.gradients._held import modules_behind
from tests.gradients.test_sandbox import data, own


def rebound_buffer():
    def forward(self, x):
        self.m = 0.9 * self.m + 0.1 * x.mean(0)
        return self.layer(x - self.m)

    model = own(forward)
    model.register_buffer("m", torch.zeros(3))
    return model, "m"


def plain_tensor():
    def forward(self, x):
        self.ema = 0.9 * self.ema + 0.1 * x.mean(0)
        return self.layer(x - self.ema)

    return own(forward, ema=torch.zeros(3)), "ema"


def written_tensor():
    def forward(self, x):
        self.ema.mul_(0.9).add_(x.mean(0))
        return self.layer(x - self.ema)

    return own(forward, ema=torch.zeros(3)), "ema"


def number():
    def forward(self, x):
        self.n += 1
        return self.layer(x) / self.n

    return own(forward, n=0), "n"


def filled_at_first():
    def forward(self, x):
        self.first = 0.5 if self.first is None else self.first * 2
        return self.layer(x) * self.first

    return own(forward, first=None), "first"


def added():
    def forward(self, x):
        self.late = getattr(self, "late", torch.ones(())) * 2
        return self.layer(x) * self.late

    return own(forward), "late"


STATES = [rebound_buffer, plain_tensor, written_tensor, number, filled_at_first, added]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("make", STATES)
def test_what_moves_is_put_back_and_called_mode(make, full):
    model, name = make()
    report = check(model, F.cross_entropy, data(), full=full)
    assert report.agrees, report
    (finding,) = report.findings
    assert (finding.parameter, finding.cause) == (name, "mode")
    assert "gives a loss that differs by" in finding.evidence


def test_what_the_first_batch_fills_stays_filled():
    def cached(self, x):
        if self.norm is None:
            self.norm = self.layer.weight.detach().norm()
        return self.layer(x) / self.norm

    assert check(own(cached, norm=None), F.cross_entropy, data(), full=True).findings == ()

    def scaled(self, x):
        out = self.layer(x)
        if not self.ready:
            with torch.no_grad():
                self.scale.copy_(1 / out.std(0))
            self.ready.fill_(1)
        return out * self.scale

    model = own(scaled, scale=nn.Parameter(torch.ones(2)))
    model.register_buffer("ready", torch.zeros(()))
    report = check(model, F.cross_entropy, data())
    assert report.agrees and not report.findings, report
    assert not model.ready and model.scale.equal(torch.ones(2))


def test_what_is_left_for_others_to_look_at_is_not_said():
    def forward(self, x):
        self.seen = x
        self.calls += 1
        return self.layer(x)

    assert check(own(forward, calls=0, seen=None), F.cross_entropy, data()).findings == ()


def test_statistics_of_compiled_models_are_held():
    plain = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch has deprecated it
        model = torch.jit.script(plain)
    before = statistics(model)
    report = check(model, F.cross_entropy, data(), full=True)
    assert report.agrees and [one.cause for one in report.findings] == ["mode"], report
    assert all(one.equal(before[name]) for name, one in statistics(model).items())


def statistics(module):
    return {name: one.clone() for name, one in module.state_dict().items()}


@pytest.mark.parametrize("training", [True, False])
def test_modules_that_a_loss_closes_over_stay_as_they_were(training):
    norm = nn.BatchNorm1d(2).train(training)
    before = statistics(norm)
    loss = lambda out, y: F.cross_entropy(norm(out), y)  # noqa: E731
    report = check(own(lambda self, x: self.layer(x)), loss, data(), full=True)
    assert report.agrees, report
    assert all(one.equal(before[name]) for name, one in statistics(norm).items())


def test_statistics_behind_a_loss_that_change_it_are_held():
    class Drifts(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0
            self.register_buffer("m", torch.ones(2))

        def forward(self, x):
            self.calls += 1
            self.m = self.m * 1.5
            return x * self.m / self.calls

    drifts = Drifts()
    loss = lambda out, y: F.cross_entropy(drifts(out), y)  # noqa: E731
    report = check(own(lambda self, x: self.layer(x)), loss, data())
    assert report.agrees, report
    assert [one.cause for one in report.findings] == ["mode"]
    assert drifts.calls == 0 and drifts.m.equal(torch.ones(2))


NORM = nn.BatchNorm1d(2)


def reads_a_global(out, y):
    return NORM(out).square().mean()


class Keeper:
    def __init__(self):
        self.norm = nn.BatchNorm1d(2)

    def loss(self, out, y):
        return self.norm(out).square().mean()

    __call__ = loss


def test_modules_behind_losses_of_every_form_are_found():
    assert modules_behind(reads_a_global) == {"NORM": NORM}
    keeper = Keeper()
    for loss in (keeper, keeper.loss):
        assert modules_behind(loss) == {"norm": keeper.norm}
    model = own(lambda self, x: self.layer(x))
    assert modules_behind(model.forward) == {"loss": model}
    bound = functools.partial(lambda norm, out, y: norm(out).mean(), NORM)
    assert modules_behind(bound) == {"0": NORM}
    assert modules_behind(nn.CrossEntropyLoss()) == modules_behind(F.cross_entropy) == {}
