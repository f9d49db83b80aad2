"""Every word of a formula, in a kernel: user rules against plain NumPy."""

import numpy as np
import pytest
import torch

from ravine.kernels import kernel, lower
from ravine.rules import (
    absolute,
    exp,
    maximum,
    mean,
    minimum,
    norm,
    rule,
    sign,
    sqrt,
    total,
    where,
)
from tests.kernels.cases import Model, gradients, kernel_step

SHAPES = [(3, 5), (32 * 1024 + 3,), (), (0,)]


@rule(state=("m",), name="elementwise")
def elementwise(w, g, m, *, t, lr=0.1, slope=0.5):
    m = maximum(minimum(m + g, 1.5), -slope) + where(g > 0, 0.1, -0.3) * sign(g)
    far = where(absolute(w) >= 1, exp(-absolute(w)), sqrt(absolute(w)))
    return w - lr * where(t < 3, far, far**3) * abs(m) ** 0.5 / (1 + g**2), m


def elementwise_numpy(w, g, m, t, lr, slope):
    m = np.maximum(np.minimum(m + g, 1.5), -slope) + np.where(g > 0, 0.1, -0.3) * np.sign(g)
    far = np.where(np.abs(w) >= 1, np.exp(-np.abs(w)), np.sqrt(np.abs(w)))
    return w - lr * (far if t < 3 else far**3) * np.sqrt(np.abs(m)) / (1 + g**2), m


@rule(state=("m",), name="scaled")
def scaled(w, g, m, *, lr=0.1, trust=0.02):
    g = g - mean(g, over="tensor")
    m = 0.9 * m + g
    ratio = trust * norm(w, over="tensor") / (norm(m, over="tensor") + 1e-3)
    # A sum of what needs another sum: two passes over the arrays.
    spread = total((w - mean(w, over="member")) ** 2, over="member")
    return w - lr * (ratio + 1 / (1 + spread)) * m, m


def scaled_numpy(w, g, m, lr, trust):
    g = [x - x.sum() / max(x.size, 1) for x in g]
    m = [0.9 * a + b for a, b in zip(m, g, strict=True)]
    everything = np.concatenate([x.ravel() for x in w])
    spread = np.sum((everything - everything.mean()) ** 2)
    ratios = [
        trust * np.sqrt(np.sum(a**2)) / (np.sqrt(np.sum(b**2)) + 1e-3)
        for a, b in zip(w, m, strict=True)
    ]
    return [
        a - lr * (ratio + 1 / (1 + spread)) * b for a, b, ratio in zip(w, m, ratios, strict=True)
    ], m


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_functions_and_branches_equal_numpy(dtype, tolerance):
    rng = np.random.default_rng(0)
    model = Model.random(elementwise, rng, SHAPES, dtype, [dict(elementwise.hypers)] * 4)
    for step in range(1, 6):
        grads = gradients(rng, model.weights)
        expected = [
            elementwise_numpy(
                w.double().numpy(), g.double().numpy(), s["m"].double().numpy(), step, 0.1, 0.5
            )
            for w, g, s in zip(model.weights, grads, model.states, strict=True)
        ]
        kernel_step(kernel(elementwise, dtype), [model], [grads], [step])
        for w, s, (new_w, new_m) in zip(model.weights, model.states, expected, strict=True):
            np.testing.assert_allclose(w.numpy(), new_w, rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(s["m"].numpy(), new_m, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_reductions_over_tensor_and_member_equal_numpy(dtype, tolerance):
    rng = np.random.default_rng(1)
    hypers = dict(scaled.hypers)
    models = [Model.random(scaled, rng, SHAPES, dtype, [hypers] * 4) for _ in range(2)]
    compiled = kernel(scaled, dtype)
    for step in range(1, 4):
        grads = [gradients(rng, model.weights) for model in models]
        expected = [
            scaled_numpy(
                [w.double().numpy() for w in model.weights],
                [g.double().numpy() for g in own],
                [s["m"].double().numpy() for s in model.states],
                **hypers,
            )
            for model, own in zip(models, grads, strict=True)
        ]
        kernel_step(compiled, models, grads, [step, step])
        for model, (new_w, new_m) in zip(models, expected, strict=True):
            for w, s, a, b in zip(model.weights, model.states, new_w, new_m, strict=True):
                np.testing.assert_allclose(w.numpy(), a, rtol=tolerance, atol=tolerance)
                np.testing.assert_allclose(s["m"].numpy(), b, rtol=tolerance, atol=tolerance)


def test_reductions_need_as_many_passes_as_they_are_nested():
    assert len(lower(scaled).stages) == 3  # the means, then norm(m) and spread, then the update
    assert sorted(set(lower(scaled).sums.values())) == ["member", "tensor"]
