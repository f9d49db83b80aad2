"""MNIST's IDX format, in files that the tests write byte by byte."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from ravine.core.errors import DataError
from ravine.problems import load_data
from ravine.problems._idx import read_idx

NAMES = {
    "train-images-idx3-ubyte": (12, 5, 4),
    "train-labels-idx1-ubyte": (12,),
    "t10k-images-idx3-ubyte": (6, 5, 4),
    "t10k-labels-idx1-ubyte": (6,),
}


def idx_bytes(shape, values, type_code=8) -> bytes:
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, type_code, len(shape), *shape)
    return header + bytes(values)


def values_of(name: str) -> list[int]:
    shape = NAMES[name]
    if "labels" in name:
        return [n % 3 for n in range(shape[0])]
    return [(7 * n + len(name)) % 256 for n in range(int(np.prod(shape)))]


def write(folder: Path, zipped: bool, rename=lambda name: name) -> Path:
    folder.mkdir()
    for name, shape in NAMES.items():
        content = idx_bytes(shape, values_of(name))
        path = folder / (rename(name) + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("rename", [lambda name: name, lambda name: name.replace("-idx", ".idx")])
def test_folder(tmp_path, zipped, rename):
    data = load_data(write(tmp_path / "shapes", zipped, rename))
    assert (data.name, data.input_shape, data.classes) == ("shapes", (1, 5, 4), 3)
    assert data.x.dtype == torch.uint8 and data.official_test == 6
    names = iter(NAMES)
    for rows in (slice(0, 12), slice(12, 18)):
        assert data.x[rows].flatten().tolist() == values_of(next(names))
        assert data.y[rows].tolist() == values_of(next(names))


def test_plain_and_zipped_files_may_be_mixed(tmp_path):
    folder = write(tmp_path / "shapes", zipped=True)
    path = folder / "t10k-labels-idx1-ubyte.gz"
    (folder / "t10k-labels-idx1-ubyte").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    assert load_data(str(folder)).y[12:].tolist() == [0, 1, 2, 0, 1, 2]


def test_missing_file_says_what_a_folder_holds(tmp_path):
    folder = write(tmp_path / "shapes", zipped=False)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    message = r"shapes: t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz is missing; .* holds"
    with pytest.raises(DataError, match=message) as caught:
        load_data(folder)
    assert all(name in str(caught.value) for name in NAMES)


def test_lengths_that_differ(tmp_path):
    folder = write(tmp_path / "shapes", zipped=False)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes((11,), [0] * 11))
    with pytest.raises(DataError, match="x_train and y_train must have the same length, got 12"):
        load_data(folder)


def test_test_images_of_another_size(tmp_path):
    folder = write(tmp_path / "shapes", zipped=False)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes((6, 4, 4), [0] * 96))
    with pytest.raises(DataError, match=r"got inputs \(1, 4, 4\) for \(1, 5, 4\)"):
        load_data(folder)


def test_labels_in_the_place_of_images(tmp_path):
    folder = write(tmp_path / "shapes", zipped=False)
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes((12,), [0] * 12))
    message = r"train-images-idx3-ubyte: must have 3 dimensions, got 1; is it another file"
    with pytest.raises(DataError, match=message):
        load_data(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file, it must start with two zero bytes"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (idx_bytes((2,), [1, 2], type_code=13), r"unsigned bytes \(type 8\), got type 13"),
        (idx_bytes((3, 2), [1, 2]), r"must hold 6 values for its shape \(3, 2\), got 2; .*cut off"),
        (idx_bytes((2,), [1, 2, 3]), r"must hold 2 values for its shape \(2,\), got 3"),
        (idx_bytes((9, 9), [])[:7], r"got 0; the file is cut off"),
    ],
)
def test_broken_files(tmp_path, content, message):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}: .*{message}"):
        read_idx(path)


@pytest.mark.parametrize("damage", ["cut off", "bits", "no gzip"])
def test_broken_gzip(tmp_path, damage):
    content = bytearray(gzip.compress(idx_bytes((50,), range(50))))
    if damage == "cut off":
        content = content[:-12]
    elif damage == "bits":
        content[20] ^= 0xFF
    else:
        content = b"not zipped at all"
    path = tmp_path / "labels.gz"
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=rf"{path}: cannot be unzipped \(.*fetch the file again"):
        read_idx(path)
