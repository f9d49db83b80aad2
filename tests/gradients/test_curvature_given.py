"""Curvature of models and batches out of the ordinary: right, or refused with the reason."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ravine.core.errors import DataError, ModelError, SettingError
from ravine.gradients._convexity import convexity_probe
from ravine.gradients._curvature import curvature
from ravine.gradients._curvature_objective import flat, objective, objective_of
from ravine.gradients._curvature_rates import curvature_report
from ravine.gradients._taylor import taylor_check
from tests.gradients.test_curvature import CLASSES, by_differences, data, network, own_loss

POINT = torch.ones(2, dtype=torch.float64)


def test_embeddings_have_the_curvature_of_one_hot_inputs():
    words = torch.tensor([[0, 2, 1], [3, 3, 0], [1, 2, 4]])
    labels = torch.tensor([0, 2, 1])
    table = nn.Embedding(5, 2).double()
    head = nn.Linear(6, CLASSES).double()
    model = nn.Sequential(table, nn.Tanh(), nn.Flatten(), head)
    here = objective(model, own_loss, (words, labels))
    hot = F.one_hot(words, 5).double()

    def loss(e, w, b):
        return own_loss(F.linear(torch.tanh(hot @ e).flatten(1), w, b), labels)

    weights = [one.detach() for one in (table.weight, head.weight, head.bias)]
    found = curvature(here).dense()
    expected = torch.func.hessian(lambda v: loss(*here.split(v)))(flat(weights))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), own_loss])
def test_the_batch_stays_as_it_is_where_a_model_writes_to_it(loss):
    inner = network()

    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x.add_(1))

    x, y = data()
    kept = x.clone()
    found = curvature(objective(Writes(), loss, (x, y))).dense()
    assert x.equal(kept)
    plain = curvature(objective(inner, loss, (x + 1, y))).dense()
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-12)


class Penalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        out = self.inner(x.requires_grad_())
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        return out * (1 + slope.square().sum())


def test_a_model_may_take_gradients_itself():
    here = objective(Penalised(), own_loss, data())
    found = curvature(here)
    assert found.source == "double backward"
    torch.testing.assert_close(found.dense(), by_differences(here), rtol=1e-5, atol=1e-5)
    assert convexity_probe(here, segments=2).segments and taylor_check(here).ok


def compiled():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch has deprecated it
        return torch.jit.trace(network(), data()[0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: objective(nn.LazyLinear(3), F.cross_entropy, data()), ModelError, "no shape yet"),
        (
            lambda: objective(nn.Linear(4, 3, device="meta"), F.cross_entropy, data()),
            ModelError,
            "weight is on the meta device",
        ),
        (lambda: objective(compiled(), F.cross_entropy, data()), ModelError, "torch.jit module"),
        (
            lambda: objective(network(), F.cross_entropy, tuple(one[:0] for one in data())),
            DataError,
            r"at least one sample, got an input of shape \(0, 4\)",
        ),
        (
            lambda: objective(network(), lambda out, y: out.sum(1), data()),
            ModelError,
            r"scalar tensor, got shape \(12,\)",
        ),
    ],
)
def test_models_and_batches_without_curvature_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(("count", "found"), [(3, 2), (2, 2), (1, 1)])
def test_a_report_of_few_weights_has_all_their_eigenvalues(count, found):
    report = curvature_report(objective_of(lambda w: w[0] ** 2 + 5 * w[1] ** 2, POINT), count=count)
    assert report.largest == pytest.approx((10, 2)[:found]) and report.smallest == 2
    one = curvature_report(objective_of(lambda w: 3 * w.square().sum(), POINT[:1]))
    assert one.largest == (6,) and len(one.frame()) == 5
    with pytest.raises(SettingError, match="count must be"):
        curvature_report(objective_of(lambda w: w.square().sum(), POINT), count=0)
