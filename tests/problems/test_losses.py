"""Losses and metrics against plain loops, their gradients, and stacking with vmap."""

import math

import numpy as np
import pytest
import torch

from ravine.core.errors import ModelError, SettingError
from ravine.problems import Data, Problem
from ravine.problems._losses import accuracy, hinge, softmax

B, K, M = 9, 5, 4


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(B, K, generator=generator, dtype=torch.float64)
    return scores, torch.randint(K, (B,), generator=generator)


def loop_hinge(scores, labels):
    """COURSE: L_i = sum_{j != y} max(0, s_j - s_y + 1), and its gradient, sample by sample."""
    total, gradient = 0.0, np.zeros((len(scores), len(scores[0])))
    for i, (row, y) in enumerate(zip(scores, labels, strict=True)):
        for j, score in enumerate(row):
            margin = score - row[y] + 1
            if j != y and margin > 0:
                total += margin
                gradient[i, j] += 1
                gradient[i, y] -= 1
    return total / len(scores), gradient / len(scores)


def loop_softmax(scores, labels):
    total, gradient = 0.0, np.zeros((len(scores), len(scores[0])))
    for i, (row, y) in enumerate(zip(scores, labels, strict=True)):
        weights = [math.exp(score) for score in row]
        total += math.log(sum(weights)) - row[y]
        gradient[i] = [weight / sum(weights) for weight in weights]
        gradient[i, y] -= 1
    return total / len(scores), gradient / len(scores)


@pytest.mark.parametrize(("loss", "oracle"), [(hinge, loop_hinge), (softmax, loop_softmax)])
def test_value_and_gradient_against_loops(loss, oracle):
    scores, labels = batch()
    scores.requires_grad_()
    value = loss(scores, labels)
    value.backward()
    expected, gradient = oracle(scores.tolist(), labels.tolist())
    assert value.item() == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(scores.grad.numpy(), gradient, rtol=1e-12, atol=1e-15)


def test_hinge_has_no_gradient_at_a_margin_of_exactly_zero():
    scores = torch.tensor([[3.0, 2.0, 2.5]], requires_grad=True)
    hinge(scores, torch.tensor([0])).backward()
    assert scores.grad.tolist() == [[-1.0, 0.0, 1.0]]


@pytest.mark.parametrize("function", [hinge, softmax, accuracy])
def test_stacks_under_vmap(function):
    pairs = [batch(seed) for seed in range(M)]
    scores, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
    stacked = torch.func.vmap(function)(scores, labels)
    assert stacked.tolist() == pytest.approx([function(*pair).item() for pair in pairs], rel=1e-14)


@pytest.mark.parametrize("loss", [hinge, softmax])
def test_gradients_stack_under_vmap(loss):
    pairs = [batch(seed) for seed in range(M)]
    scores, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
    stacked = torch.func.vmap(torch.func.grad(loss))(scores, labels)
    for row, pair in zip(stacked, pairs, strict=True):
        torch.testing.assert_close(row, torch.func.grad(loss)(*pair), rtol=1e-14, atol=0)


def test_accuracy_counts_nan_as_wrong():
    nan = float("nan")
    scores = torch.tensor([[0.0, 1.0], [nan, 0.0], [2.0, nan], [1.0, 0.0]])
    assert accuracy(scores, torch.tensor([1, 0, 0, 1])).item() == 0.25
    labels = batch()[1]
    hits = [
        row.index(max(row)) == y
        for row, y in zip(batch()[0].tolist(), labels.tolist(), strict=True)
    ]
    assert accuracy(batch()[0], labels).item() == pytest.approx(sum(hits) / B, rel=1e-14)


def squared(outputs, targets):
    return ((outputs - targets) ** 2).mean()


def correct(outputs, targets):
    return (outputs.argmax(-1) == targets).double().mean()


def regression():
    x = torch.linspace(0, 1, 200)[:, None]
    return Data("line", x, 3 * x[:, 0])


def test_scores_by_default():
    digits = Problem("linear")
    assert (digits.score_name, digits.direction, digits.smallest_difference) == (
        "accuracy", "max", 0.005,
    )  # fmt: skip
    assert digits.metric is accuracy and digits.loss is softmax and digits.loss_name == "softmax"
    line = Problem("linear", regression(), loss=squared)
    assert (line.score_name, line.direction, line.smallest_difference) == ("loss", "min", None)
    assert line.metric is squared and line.loss_name == "squared"


def test_scores_that_are_given():
    by_loss = Problem("linear", loss="hinge", metric="loss", direction="min")
    assert (by_loss.score_name, by_loss.direction) == ("loss", "min")
    assert by_loss.metric is by_loss.loss is hinge
    own = Problem("linear", metric=correct, direction="max")
    assert (own.score_name, own.direction, own.smallest_difference) == ("correct", "max", None)
    assert own.metric is correct
    assert Problem("linear", metric=correct, direction="min").direction == "min"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "sofmax"}, "unknown loss 'sofmax'; did you mean 'softmax'\\? Known: hinge"),
        ({"loss": None}, "unknown loss 'None'"),
        ({"loss": ["hinge"]}, "unknown loss .*hinge"),
        ({"metric": ["loss"]}, "unknown metric .*loss"),
        ({"metric": "acuracy"}, "unknown metric 'acuracy'; did you mean 'accuracy'"),
        ({"metric": correct}, "direction must be given with a metric of your own: 'max' if"),
        ({"metric": correct, "direction": "up"}, "direction must be 'max' or 'min', got 'up'"),
        ({"direction": "min"}, "direction of metric 'accuracy' must be 'max', got 'min'; leave"),
        ({"metric": "loss", "direction": "max"}, "of metric 'loss' must be 'min', got 'max'"),
        ({"data": regression()}, r"'softmax' needs class labels, .* line are torch.float32 \(200"),
        ({"data": regression(), "loss": "hinge"}, "loss 'hinge' needs class labels"),
        (
            {"data": regression(), "loss": squared, "metric": "accuracy"},
            "metric 'accuracy' needs class labels, integers in 0..K-1",
        ),
    ],
)
def test_settings(settings, message):
    with pytest.raises(SettingError, match=message):
        Problem("linear", **settings)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, t: o.sum(1), r"loss '<lambda>': must return a float tensor .* got .*\(4,\)"),
        (lambda o, t: o.sum().item(), "without dimensions, the mean over the batch, got -?[0-9]"),
        (lambda o, t: t.sum(), r"got torch.int64 \(\)"),
        (correct, "loss 'correct': must be differentiable"),
        (
            lambda o, t: (o - t).mean(),
            r"batch of shape \(4, 10\) and \(4,\) it raised RuntimeError",
        ),
    ],
)
def test_losses_that_cannot_train(loss, message):
    with pytest.raises(ModelError, match=message):
        Problem("linear", loss=loss)


def test_metric_that_is_no_number():
    with pytest.raises(ModelError, match=r"metric '<lambda>': must return a float tensor"):
        Problem("linear", metric=lambda o, t: o.argmax(-1) == t, direction="max")


def test_outputs_that_would_broadcast_against_float_targets_are_refused():
    def flat(shape, outputs):
        return torch.nn.Sequential(torch.nn.Linear(1, outputs), torch.nn.Flatten(0))

    with pytest.raises(ModelError, match=r"as many dimensions as the targets \(4, 1\), got \(4,\)"):
        Problem(flat, regression(), loss=squared)
