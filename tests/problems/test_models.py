"""Built-in models: what a specification builds, and its initial weights."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ravine.core.errors import SettingError
from ravine.core.seeding import torch_seeded
from ravine.problems._models import linear, mlp_factory


def build(spec, shape=(1, 8, 8), outputs=10, seed=0):
    with torch_seeded(seed, "test"):
        return mlp_factory(spec)(shape, outputs)


def kinds(model):
    return [type(layer) for layer in model]


@pytest.mark.parametrize(
    ("spec", "widths", "activation"),
    [
        ("mlp", [64], nn.ReLU),
        ("mlp:128", [128], nn.ReLU),
        ("mlp:128,64:tanh:xavier", [128, 64], nn.Tanh),
        ("mlp:sigmoid", [64], nn.Sigmoid),
        ("mlp:he:leaky_relu:5,6,7", [5, 6, 7], nn.LeakyReLU),
    ],
)
def test_specification(spec, widths, activation):
    model = build(spec)
    layers = [nn.Linear, activation] * len(widths)
    assert kinds(model) == [nn.Flatten, *layers, nn.Linear]
    sizes = [64, *widths, 10]
    weights = [tuple(layer.weight.shape) for layer in model if isinstance(layer, nn.Linear)]
    assert weights == [(b, a) for a, b in pairwise(sizes)]


def test_forward_is_the_formula():
    model = build("mlp:3:tanh", shape=(2,), outputs=2)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    first, second = (layer for layer in model if isinstance(layer, nn.Linear))
    hidden = np.tanh(x.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy())
    scores = hidden @ second.weight.detach().numpy().T + second.bias.detach().numpy()
    np.testing.assert_allclose(model(x).detach().numpy(), scores, rtol=1e-5, atol=1e-6)
    assert build("mlp:leaky_relu")[2].negative_slope == 0.01


@pytest.mark.parametrize(
    ("spec", "layer", "deviation"),
    [
        ("mlp:400", 0, sqrt(2 / 64)),
        ("mlp:400", 1, sqrt(2 / 400)),
        ("mlp:400:leaky_relu", 0, sqrt(2 / (1 + 0.01**2) / 64)),
        ("mlp:400:tanh:he", 0, sqrt(2 / 64)),
    ],
)
def test_he_is_normal_with_its_deviation(spec, layer, deviation):
    linears = [part for part in build(spec, outputs=50) if isinstance(part, nn.Linear)]
    weights = linears[layer].weight.detach().flatten().double().numpy()
    assert stats.kstest(weights / deviation, "norm").pvalue > 0.01


@pytest.mark.parametrize("spec", ["mlp:400:tanh", "mlp:400:sigmoid", "mlp:400:xavier"])
def test_xavier_is_uniform_with_its_bound(spec):
    first, second = (part for part in build(spec, outputs=50) if isinstance(part, nn.Linear))
    for weights, ends in ((first.weight, 64 + 400), (second.weight, 400 + 50)):
        scaled = weights.detach().flatten().double().numpy() / sqrt(6 / ends)
        assert stats.kstest(scaled, "uniform", (-1, 2)).pvalue > 0.01


def test_linear():
    with torch_seeded(0, "test"):
        model = linear((3, 10, 10), 50)
    assert kinds(model) == [nn.Flatten, nn.Linear]
    weights = model[1].weight.detach().flatten().double().numpy() / sqrt(6 / 350)
    assert stats.kstest(weights, "uniform", (-1, 2)).pvalue > 0.01
    assert not model[1].bias.any()
    assert kinds(linear((7,), 2)) == [nn.Linear]


def test_biases_start_at_zero():
    for spec in ("mlp", "mlp:9,8:tanh"):
        parameters = dict(build(spec).named_parameters())
        assert all(not values.any() for name, values in parameters.items() if "bias" in name)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mlp:0", "model 'mlp:0': widths must be integers > 0 joined by commas, got '0'; write"),
        ("mlp:-3", "got '-3'"),
        ("mlp:1.5", "got '1.5'"),
        ("mlp:", "got ''"),
        ("mlp:64,", "got '64,'"),
        ("mlp:64,tanh", "got '64,tanh'"),
        ("mlp:tan", "unknown part of model 'mlp:tan': 'tan'; did you mean 'tanh'"),
        ("mlp:64:32", "model 'mlp:64:32': widths must be given once, got '64' and '32'"),
        ("mlp:relu:tanh", "activation must be given once, got 'relu' and 'tanh'"),
        ("mlp:he:he", "init must be given once, got 'he' and 'he'"),
    ],
)
def test_bad_specifications(spec, message):
    with pytest.raises(SettingError, match=message):
        mlp_factory(spec)
