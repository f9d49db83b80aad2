"""What must not change a result: bad numbers elsewhere, the number of threads, other dtypes."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ravine.kernels import kernel, lower
from ravine.rules import get_rule
from tests.kernels.cases import (
    CLIPPED,
    SHAPES,
    SMALL,
    Model,
    assert_close,
    formulas,
    gradients,
    hard,
    kernel_step,
    modified,
    name,
    rows_for,
)

# A reduction carries a bad number to every weight of its tensor or model, as it should.
ELEMENTWISE = [rule for rule in formulas() if not lower(rule).sums]
# An infinite gradient has a sign like any other: these rules step by a bounded length.
BY_SIGN = ("signsgd", "rprop", "lion")


@pytest.mark.parametrize("rule", ELEMENTWISE, ids=name)
def test_nan_and_infinity_stay_in_their_weight(rule):
    compiled = kernel(rule, torch.float64)  # compiled above
    rng = np.random.default_rng(6)
    clean = Model.random(rule, rng, [(33_000,)], torch.float64, [hard(rule)])
    dirty = clean.copy()
    places = {5: np.nan, 32_900: np.inf, 32_999: -np.inf}
    for step in range(1, 4):
        grads = gradients(rng, clean.weights)
        bad = [g.clone() for g in grads]
        for place, value in places.items():
            bad[0][place] = value
        kernel_step(compiled, [clean], [grads], [step])
        kernel_step(compiled, [dirty], [bad], [step])
    ours, expected = dirty.weights[0].numpy(), clean.weights[0].numpy()
    others = np.delete(np.arange(33_000), list(places))
    np.testing.assert_array_equal(ours[others], expected[others])
    # torch's rprop alone leaves a weight without a sign to follow where it is.
    assert np.isnan(ours[5]) == ((rule.name, rule.convention) != ("rprop", "torch"))
    assert np.isfinite(ours[[32_900, 32_999]]).all() == (rule.name in BY_SIGN)
    assert np.isfinite(ours[[32_900, 32_999]]).any() == (rule.name in BY_SIGN)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clipping_a_gradient_that_is_not_finite_spreads_nan_as_torch_does(value):
    rule = modified(get_rule("sgd"), "clip_global_norm")
    model = Model.random(
        rule, np.random.default_rng(7), SMALL, torch.float32, [hard(rule)] * len(SMALL)
    )
    grads = gradients(np.random.default_rng(8), model.weights)
    grads[0][1, 1] = value
    theirs = [torch.nn.Parameter(w.clone()) for w in model.weights]
    for p, g in zip(theirs, grads, strict=True):
        p.grad = g.clone()
    torch.nn.utils.clip_grad_norm_(theirs, hard(rule)["max_norm"])
    torch.optim.SGD(theirs, lr=hard(rule)["lr"]).step()
    kernel_step(kernel(rule, torch.float32), [model], [grads], [1])
    for ours, p in zip(model.weights, theirs, strict=True):
        torch.testing.assert_close(ours, p.detach(), equal_nan=True, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("modifiers", [(), CLIPPED], ids=["plain", "clipped"])
def test_result_does_not_depend_on_the_number_of_threads(modifiers):
    rule = modified(get_rule("adam"), *modifiers)
    compiled = kernel(rule, torch.float32)
    ends = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        rng = np.random.default_rng(9)
        rows = rows_for(rule, len(SHAPES))
        model = Model.random(rule, rng, SHAPES, torch.float32, rows)
        for step in range(1, 6):
            kernel_step(compiled, [model], [gradients(rng, model.weights)], [step])
        ends.append(model)
    for one, two in pairwise(ends):
        assert_close(one, two, 0.0)


def test_kernels_of_other_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"dtype must be torch.float32 or torch.float64, got"):
        kernel(get_rule("sgd"), torch.float16)
