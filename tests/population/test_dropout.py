"""Keyed dropout: masks by seed, step and layer, against the same hash written in NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from ravine.population._dropout import KeyedDropout, seed_dropout
from ravine.problems import Problem
from tests.population.making import assert_equal, images, in_block, member, plain, uncompiled
from tests.population.models import PlainDropout, dropouts

STEPS = 50


def test_dropout_masks_follow_seed_step_and_layer():
    def as_plain(model, seed):
        layers = [n for n, m in model.named_children() if isinstance(m, nn.Dropout | nn.Dropout2d)]
        for index, name in enumerate(layers):
            layer = getattr(model, name)
            channels = isinstance(layer, nn.Dropout2d)
            setattr(model, name, PlainDropout(layer.p, channels, seed, index))
        return model

    problem = Problem(dropouts, images(), batch=16, epochs=15, schedule="cosine")
    members = [member(i, name, seed=i % 2) for i, name in enumerate(("sgd", "adam", "sgd"))]
    population = uncompiled(problem, largest=3, workers=1, dtype=torch.float64)
    total = population.budget.steps
    ends = in_block(population, members, STEPS)
    for one, end in zip(members, ends, strict=True):
        end.buffers.clear()  # the counters of the masks, which the plain layers keep elsewhere
        model = as_plain(problem.build(one.seed, torch.float64), one.seed)
        assert_equal(end, plain(problem, one, STEPS, total, "cosine", model=model))
    assert not np.array_equal(ends[0].losses, ends[1].losses)


def test_masks_keep_the_share_they_shall_and_are_independent():
    kept = []
    for seed in range(3):
        layers = nn.Sequential(*(KeyedDropout(0.3) for _ in range(3)))
        seed_dropout(layers, seed)
        kept += [layer(torch.ones(100, 100)) for layer in layers for _ in range(2)]
    masks = torch.stack(kept) > 0
    np.testing.assert_allclose(torch.stack(kept)[masks], 1 / 0.7, rtol=1e-6)
    # Within four standard deviations of the share of 10,000 entries.
    spread = 4 * np.sqrt(0.3 * 0.7 / 10_000)
    np.testing.assert_allclose(masks.double().mean((1, 2)), 0.7, atol=spread)
    for i, mask in enumerate(masks):
        both = [float((mask & other).double().mean()) for other in masks[i + 1 :]]
        np.testing.assert_allclose(both, 0.49, atol=4 * np.sqrt(0.49 * 0.51 / 10_000))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing(p):
    layer, x = KeyedDropout(p), torch.randn(4, 5)
    assert torch.equal(layer(x), x * (1 - p))
    assert torch.equal(layer.eval()(x), x)
