"""Data: what is kept, and every message about what cannot be trained on."""

import pytest
import torch

from ravine.core.errors import DataError, SettingError
from ravine.problems import Data

X = torch.zeros(6, 3)
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def test_vectors_images_and_classes():
    data = Data("toy", X, Y)
    assert (data.input_shape, data.classes, data.outputs, data.training_rows) == ((3,), 3, 3, 6)
    images = Data("toy", torch.zeros(6, 3, 5, 4, dtype=torch.uint8), Y, official_test=2, classes=7)
    assert (images.input_shape, images.outputs, images.training_rows) == ((3, 5, 4), 7, 4)
    assert images.x.dtype == torch.uint8


def test_float_targets_of_one_number_get_a_width():
    data = Data("toy", X, torch.arange(6.0))
    assert data.y.shape == (6, 1)
    assert (data.classes, data.outputs) == (None, 1)
    assert Data("toy", X, torch.zeros(6, 2, 5)).outputs == 10


def test_given_classes_may_lack_training_rows():
    assert Data("toy", X, torch.tensor([0, 0, 0, 2, 2, 2]), classes=4).classes == 4


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([[1.0]], Y, {}, "toy: x must be a uint8, float32 or float64 tensor, got list"),
        (X.half(), Y, {}, "x must be .* tensor, got torch.float16"),
        (X.to("meta"), Y, {}, r"x must be on the CPU, got meta; give x.cpu\(\)"),
        (torch.zeros(6, 3, 4), Y, {}, r"\[N, D\] or .* got \(6, 3, 4\); greyscale images have C"),
        (torch.zeros(6, 0), Y, {}, r"none of them 0, got \(6, 0\)"),
        (X, Y.int(), {}, "y must be an int64 or float tensor, got torch.int32"),
        (X, [0, 1], {}, "y must be an int64 or float tensor, got list"),
        (X, Y[:5], {}, "x and y must have the same length, got 6 and 5"),
        (X, torch.tensor(1), {}, "same length, got 6 and a single number"),
        (X[:0], Y[:0], {}, "x must hold at least one row, got none"),
        (X, Y, {"official_test": 6}, "official_test must be < 6, the number of rows, got 6"),
        (X, Y[:, None], {}, r"labels must be \[N\], got \(6, 1\); .*argmax"),
        (X, Y - 1, {}, r"labels must be 0..1, got -1 in row 0"),
        (X, Y, {"classes": 2}, r"labels must be 0..1, got 2 in row 2"),
        (X, Y + 1, {}, r"run to 3 and class 0 has no training row; renumber .* give classes=4"),
        (X, 2 * Y, {}, "run to 4 and class 1 has no training row"),
        (X, 0 * Y, {}, "train must hold at least 2 classes, got only label 0"),
        (X, Y.float(), {"classes": 3}, "classes=3 needs integer labels, got torch.float32"),
    ],
)
def test_what_cannot_be_trained_on(x, y, options, message):
    with pytest.raises(DataError, match=message):
        Data("toy", x, y, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"official_test": -1}, "toy: official_test must be an integer >= 0, got -1"),
        ({"official_test": 1.0}, "toy: official_test must be an integer >= 0, got 1.0"),
        ({"classes": 1}, "toy: classes must be an integer >= 2, got 1"),
        ({"classes": True}, "toy: classes must be an integer >= 2, got True"),
    ],
)
def test_settings(options, message):
    with pytest.raises(SettingError, match=message):
        Data("toy", X, Y, **options)


def test_test_labels_outside_the_classes_of_train():
    with pytest.raises(DataError, match=r"labels must be 0..1, got 2 in test row 1"):
        Data("toy", X, torch.tensor([0, 1, 0, 1, 0, 2]), official_test=2)
    with pytest.raises(DataError, match=r"got -4 in training row 1"):
        Data("toy", X, torch.tensor([0, -4, 1, 1, 0, 1]), official_test=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_named_by_row(value):
    x = torch.zeros(3000, 1, 2, 2)
    x[2500, 0, 1, 0] = value
    y = torch.arange(3000) % 2
    with pytest.raises(DataError, match="x must be finite, got NaN or infinity in row 2500"):
        Data("toy", x, y)
    with pytest.raises(DataError, match="in test row 500"):
        Data("toy", x, y, official_test=1000)
    with pytest.raises(DataError, match="in training row 2500"):
        Data("toy", x, y, official_test=10)
    with pytest.raises(DataError, match="y must be finite, got NaN or infinity in row 2500"):
        Data("toy", torch.zeros(3000, 1), x[:, 0, 1])
