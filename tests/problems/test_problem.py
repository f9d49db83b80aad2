"""Problem: what a seed fixes, batch orders, defaults, and every message about settings."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from ravine.core.errors import DataError, SettingError
from ravine.problems import Data, Problem, named_problem, problem_names


@pytest.fixture(scope="module")
def digits():
    return Problem("mlp")


def toy(rows=100, official_test=0):
    x = torch.arange(2 * rows, dtype=torch.float32).reshape(rows, 2)
    return Data("toy", x, torch.arange(rows) % 2, official_test)


def same_weights(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_description_is_json(digits):
    assert json.loads(json.dumps(digits.describe())) == {
        "name": "digits mlp",
        "data": "digits",
        "model": "mlp",
        "loss": "softmax",
        "score": "accuracy",
        "direction": "max",
        "input_shape": [1, 8, 8],
        "classes": 10,
        "train": 1150,
        "validation": 288,
        "test": 359,
        "parameters": 64 * 64 + 64 + 64 * 10 + 10,
    }


def test_sizes_described_are_those_of_every_seed(digits):
    for seed in (0, 5):
        split = digits.split(seed)
        assert (len(split.train), len(split.validation), len(split.test)) == (1150, 288, 359)
        np.testing.assert_array_equal(digits.evaluation_rows(seed, "test"), split.test)
        np.testing.assert_array_equal(digits.evaluation_rows(seed, "validation"), split.validation)
    assert digits.split(0) is digits.split(0)


def test_training_inputs_are_normalised(digits):
    split = digits.split(3)
    inputs = (digits.data.x.double() - split.shift) * split.scale
    assert float(inputs[split.train].mean()) == pytest.approx(0, abs=1e-12)
    assert float(inputs[split.train].std(correction=0)) == pytest.approx(1, rel=1e-12)
    assert abs(float(inputs[split.test].mean())) > 1e-6


def test_inputs_may_stay_as_they_are():
    split = Problem("linear", normalise=False).split(0)
    assert split.shift.tolist() == [[[0.0]]] and split.scale.tolist() == [[[1.0]]]
    assert split.shift.dtype == torch.float64


def test_a_seed_fixes_the_initial_weights(digits):
    torch.manual_seed(1)
    first = digits.build(4)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert same_weights(first, digits.build(4))
    assert not same_weights(first, digits.build(5))
    torch.manual_seed(1)
    digits.build(4)
    assert torch.equal(state, torch.get_rng_state())  # the global generator is left alone
    assert first.training


def test_weights_agree_for_every_dtype(digits):
    single, double = digits.build(0), digits.build(0, torch.float64)
    assert {weights.dtype for weights in double.parameters()} == {torch.float64}
    assert same_weights(single.double(), double)


def test_building_leaves_buffers_as_they_start():
    def factory(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, classes))

    model = Problem(factory).build(0)
    assert model.training
    assert not model[1].running_mean.any() and model[1].running_var.eq(1).all()
    assert model[1].num_batches_tracked == 0


@pytest.mark.parametrize("batch", [1, 64, 1150, "full", None])
def test_order_is_a_shuffled_epoch_of_whole_batches(digits, batch):
    order = digits.order(0, 0, batch)
    size = {"full": 1150, None: 64}.get(batch, batch)
    assert digits.batch_size(batch) == size
    assert order.shape == (1150 // size, size) == (digits.steps_per_epoch(batch), size)
    assert order.dtype == np.int64
    assert len(set(order.flat)) == order.size
    assert set(order.flat) <= set(digits.split(0).train)
    assert (np.diff(order.flat) < 0).any()


def test_order_depends_on_seed_and_epoch_only(digits):
    np.testing.assert_array_equal(digits.order(0, 1, 64), digits.order(0, 1, 64))
    np.testing.assert_array_equal(digits.order(0, 1, 64), Problem("linear").order(0, 1, 64))
    assert (digits.order(0, 0, 64) != digits.order(0, 1, 64)).any()
    assert (digits.order(0, 0, 64) != digits.order(1, 0, 64)).any()


def test_rows_left_out_change_from_epoch_to_epoch(digits):
    left_out = [set(digits.split(0).train) - set(digits.order(0, e, 64).flat) for e in range(3)]
    assert [len(rows) for rows in left_out] == [62, 62, 62]
    assert left_out[0] != left_out[1] != left_out[2]


def test_one_order_for_all_epochs():
    problem = Problem("linear", toy(), batch=10, reshuffle=False)
    np.testing.assert_array_equal(problem.order(0, 0, 10), problem.order(0, 9, 10))
    assert (problem.order(0, 0, 10) != problem.order(1, 0, 10)).any()


def test_no_validation_split():
    problem = Problem("linear", toy(100, official_test=20), validation=0)
    assert problem.describe()["validation"] == 0 and problem.describe()["train"] == 80
    assert problem.evaluation_rows(0, "validation").shape == (0,)


def test_defaults(digits):
    assert (digits.batch, digits.epochs, digits.schedule) == (64, 50, "cosine")
    assert digits.name == "digits mlp" and Problem("linear", name="mine").name == "mine"


@pytest.mark.parametrize(
    ("rows", "batch", "epochs"),
    # Training rows are 64 % of all; 3000 steps in whole epochs, at least 1 and at most 50.
    [(100, 1, 47), (100, "full", 50), (10_000, 64, 30), (10_000, 1, 1)],
)
def test_default_epochs_give_about_3000_steps(rows, batch, epochs):
    problem = Problem("linear", toy(rows), batch=batch)
    assert problem.epochs == epochs
    assert Problem("linear", toy(rows), batch=batch, epochs=7).epochs == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "batch must be an integer >= 1, got 0; 'full' takes all training rows"),
        ({"batch": 1.5}, "batch must be an integer >= 1, got 1.5"),
        ({"batch": True}, "batch must be an integer >= 1, got True"),
        ({"batch": "fulll"}, "batch must be an integer >= 1, got 'fulll'; 'full' takes all"),
        ({"batch": 1151}, "batch must be <= 1150, the training rows of digits, got 1151; give"),
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"epochs": 2.0}, "epochs must be an integer >= 1, got 2.0"),
        (
            {"schedule": "cosin"},
            r"unknown schedule 'cosin'; did you mean 'cosine'.*\? Known: constant, cosine, ",
        ),
        ({"schedule": None}, "unknown schedule 'None'"),
        ({"schedule": ["cosine"]}, "unknown schedule .*cosine"),
        ({"schedule": "step:0"}, r"schedule 'step:0': every must be a number of steps"),
        ({"schedule": "plateau"}, "got reduce-on-plateau, which needs the metric"),
        ({"validation": 1}, "validation must be a fraction >= 0 and < 1, got 1"),
        ({"validation": -0.1}, "validation must be a fraction >= 0 and < 1, got -0.1"),
        ({"validation": float("nan")}, "got nan"),
        ({"validation": "0.2"}, "got '0.2'"),
        ({"validation": False}, "got False"),
    ],
)
def test_settings(settings, message):
    with pytest.raises(SettingError, match=message):
        Problem("linear", **settings)


def test_unknown_setting_is_an_error():
    with pytest.raises(TypeError, match="epoch"):
        Problem("linear", epoch=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.batch_size(1151), "batch must be <= 1150, .* digits, got 1151"),
        (lambda p: p.order(0, 0, 2000), "batch must be <= 1150, .* digits, got 2000"),
        (lambda p: p.order(0, -1, 64), "epoch must be an integer >= 0, got -1"),
        (lambda p: p.order(-1, 0, 64), "seed must be an integer >= 0, got -1"),
        (lambda p: p.split(0.5), "seed must be an integer >= 0, got 0.5"),
        (lambda p: p.build(-2), "seed must be an integer >= 0, got -2"),
        (lambda p: p.evaluation_rows(0, "train"), "unknown part 'train'; .*test, validation"),
    ],
)
def test_calls(digits, call, message):
    with pytest.raises(SettingError, match=message):
        call(digits)


def test_too_few_rows():
    with pytest.raises(DataError, match="toy: 4 rows are too few to split; train, validation and"):
        Problem("linear", toy(4), batch=1)


def test_named_problems():
    assert problem_names() == ["digits", "quadratic_deep"]
    assert all(named_problem(name).name == name for name in problem_names())
    default = Problem("mlp").describe()
    assert named_problem("digits").describe() == default | {"name": "digits"}
    with pytest.raises(
        SettingError, match="unknown problem 'quadratic'; did you mean 'quadratic_d"
    ):
        named_problem("quadratic")
