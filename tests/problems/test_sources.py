"""load_data: layouts, types and every message about what cannot be read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ravine.core.errors import DataError
from ravine.problems import Data, load_data
from ravine.problems._sources import PARTS


def arrays(shape=(5,), dtype=np.float32, train=6, test=4):
    generator = np.random.default_rng(0)
    x = (generator.random((train + test, *shape)) * 200).astype(dtype)
    y = np.arange(train + test) % 3
    return x[:train], y[:train], x[train:], y[train:]


def npz(path: Path, parts) -> Path:
    np.savez(path, **dict(zip(PARTS, parts, strict=False)))
    return path


def test_digits_are_those_of_scikit_learn():
    data = load_data("digits")
    images, labels = load_digits(return_X_y=True)
    assert data.name == "digits" and data.official_test == 0 and data.classes == 10
    assert data.x.dtype == torch.float32 and data.input_shape == (1, 8, 8)
    np.testing.assert_array_equal(data.x.numpy(), images.reshape(-1, 1, 8, 8))
    np.testing.assert_array_equal(data.y.numpy(), labels)


def test_data_is_returned_as_it_is():
    data = Data("toy", torch.zeros(4, 28, 28, 3), torch.tensor([0, 1, 0, 1]))
    assert load_data(data) is data


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "kept"), [((5,), (5,)), ((7, 6), (1, 7, 6)), ((3, 7, 6), (3, 7, 6))]
)
def test_npz_layouts_and_types(tmp_path, shape, kept, dtype):
    parts = arrays(shape, dtype)
    data = load_data(str(npz(tmp_path / "toy.npz", parts)))
    assert (data.name, data.input_shape, data.official_test) == ("toy", kept, 4)
    assert data.x.numpy().dtype == dtype
    expected = np.concatenate([parts[0], parts[2]]).reshape(10, *kept)
    np.testing.assert_array_equal(data.x.numpy(), expected)
    np.testing.assert_array_equal(data.y.numpy(), np.concatenate([parts[1], parts[3]]))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_last_becomes_channels_first(channels):
    parts = arrays((7, 6, channels))
    data = load_data(parts)
    assert (data.name, data.input_shape) == ("arrays", (channels, 7, 6))
    for n in range(6):
        for c in range(channels):
            np.testing.assert_array_equal(data.x[n, c].numpy(), parts[0][n, :, :, c])


def test_small_planes_are_taken_as_channels_first():
    assert load_data(arrays((4, 4, 3))).input_shape == (4, 4, 3)


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.bool_, ">f4"])
def test_other_numbers_become_float32(dtype):
    parts = arrays((5,), dtype)
    data = load_data(parts)
    assert data.x.dtype == torch.float32
    np.testing.assert_array_equal(data.x[:6].numpy(), parts[0].astype(np.float32))


def test_tensors_and_column_labels():
    x_train, y_train, x_test, y_test = map(torch.from_numpy, arrays())
    data = load_data((x_train, y_train[:, None].to(torch.uint8), x_test, y_test[:, None]))
    assert data.y.dtype == torch.int64
    assert data.y.tolist() == [*y_train.tolist(), *y_test.tolist()]


def test_float_targets_stay_float():
    x_train, y_train, x_test, y_test = arrays()
    data = load_data((x_train, y_train / 2, x_test, y_test / 2))
    assert data.classes is None and data.y.dtype == torch.float64 and data.y.shape == (10, 1)
    half = load_data((x_train, y_train.astype(np.float16), x_test, y_test.astype(np.float16)))
    assert half.y.dtype == torch.float32


def broken(**changes):
    parts = dict(zip(PARTS, arrays(), strict=True))
    return tuple((parts | changes).values())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (arrays()[:2], r"must be \(x_train, y_train, x_test, y_test\), got 2 entries; .*Data\("),
        (broken(y_train=[0, 1]), "x_train and y_train must have the same length, got 6 and 2"),
        (broken(y_test=[0, 1]), "x_test and y_test must have the same length, got 4 and 2"),
        (
            broken(x_test=np.zeros((0, 5), np.float32), y_test=np.zeros(0, int)),
            "x_test must hold at least one row, got none",
        ),
        (
            broken(x_test=np.zeros((4, 6), np.float32)),
            r"must have the shape of those of train; got inputs \(6,\) for \(5,\) and targets"
            r" \(\) for \(\)",
        ),
        (broken(y_test=np.zeros((4, 2), int)), r"targets \(2,\) for \(\)"),
        (broken(x_test=np.zeros((4, 5))), "same types; got torch.float32 and torch.float64"),
        (broken(y_test=np.zeros(4)), "torch.int64 and torch.float64 targets"),
        (broken(x_train=np.zeros(6)), r"x_train must be \[N, D\], .* got \(6,\)"),
        (broken(x_train=np.zeros((6, 1, 1, 1, 1))), r"x_train must be .*got \(6, 1, 1, 1, 1\)"),
        (broken(x_train=np.float32(3)), "x_train must be an array of numbers, .* shape \\(\\)"),
        (broken(y_train=["a"] * 6), "y_train must be an array of numbers, got type <U1"),
        (broken(x_train=np.zeros((6, 5), complex)), "array of numbers, got type complex128"),
        (broken(x_train=[[1.0], [1.0, 2.0]]), "arrays: x_train must be an array of numbers: "),
        (broken(y_train=np.arange(6) - 1), "labels must be 0..4, got -1 in training row 0"),
        (broken(y_test=np.full(4, 9)), "labels must be 0..2, got 9 in test row 0"),
    ],
)
def test_arrays_that_cannot_be_used(parts, message):
    with pytest.raises(DataError, match=message):
        load_data(parts)


def test_nan_pixels_are_named_by_row():
    parts = arrays((7, 6))
    parts[2][3, 2, 1] = np.nan
    with pytest.raises(DataError, match="x must be finite, got NaN or infinity in test row 3"):
        load_data(parts)


def test_npz_without_its_arrays(tmp_path):
    path = npz(tmp_path / "toy.npz", arrays()[:2])
    with pytest.raises(DataError, match=r"toy.npz: must hold x_train, y_train, x_test, y_test;"):
        load_data(path)
    with pytest.raises(DataError, match="x_test, y_test is missing, got x_train, y_train"):
        load_data(path)


def test_npz_that_is_damaged_or_holds_objects(tmp_path):
    path = tmp_path / "toy.npz"
    for content in (b"", b"no zip", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"toy.npz: cannot be read \(.*numpy.savez"):
            load_data(path)
    npz(path, broken(x_train=np.array([{}] * 6, dtype=object)))
    with pytest.raises(DataError, match=r"cannot be read \(.*allow_pickle"):
        load_data(path)


def test_npz_with_flipped_bits(tmp_path):
    path = tmp_path / "toy.npz"
    np.savez_compressed(path, **dict(zip(PARTS, arrays((50,)), strict=True)))
    content = bytearray(path.read_bytes())
    content[300:400] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"toy.npz: cannot be read \("):
        load_data(path)


def test_npz_may_hold_other_arrays_too(tmp_path):
    path = tmp_path / "toy.npz"
    parts = dict(zip(PARTS, arrays(), strict=True))
    np.savez(path, names=np.array([None], dtype=object), **parts)
    assert len(load_data(path).x) == 10


def test_npz_that_is_one_array_under_a_wrong_name(tmp_path):
    path = tmp_path / "toy.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="x_test, y_test is missing, got no named arrays"):
        load_data(path)


def test_nothing_there_or_of_no_known_kind(tmp_path):
    missing = tmp_path / "nowhere"
    message = "nowhere': no such file or folder; give 'digits', a folder .*train-images-idx3-ubyte"
    with pytest.raises(DataError, match=message):
        load_data(missing)
    other = tmp_path / "toy.csv"
    other.write_text("1,2")
    with pytest.raises(DataError, match=r"toy.csv': cannot read .csv files; give 'digits'"):
        load_data(other)
    with pytest.raises(DataError, match="data cannot be a int; give 'digits'"):
        load_data(3)
