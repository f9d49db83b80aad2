"""Where data comes from: scikit-learn's digits, MNIST-format folders, .npz files, arrays."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ravine.core.errors import DataError
from ravine.problems._data import Data
from ravine.problems._idx import FILES, read_idx_folder

PARTS = tuple(FILES)  # x_train, y_train, x_test, y_test
_ACCEPTED = (
    f"give 'digits', a folder in MNIST's format (it holds {', '.join(FILES.values())}, each"
    " gzipped or not), an .npz file with x_train, y_train, x_test, y_test, or these four arrays as"
    " a tuple"
)


def load_data(spec: str | Path | Data | tuple[Any, ...]) -> Data:
    """Return the data that a specification names.

    Args:
        spec: one of

            - ``"digits"``: scikit-learn's 1797 digits, float32 [N, 1, 8, 8], no official test set;
            - a folder with MNIST's four IDX files, each gzipped or not: uint8 [N, 1, H, W];
            - an ``.npz`` file with x_train, y_train, x_test, y_test;
            - a tuple of these four as arrays or tensors;
            - a `Data`, returned as it is.

            Inputs of the last but one and of ``.npz`` are [N, D], [N, H, W] (becomes
            [N, 1, H, W]) or [N, C, H, W]. Channels-last images [N, H, W, C] are recognised by
            C in {1, 3, 4} with H and W > 4, and become [N, C, H, W]; a `Data` is never
            rearranged. uint8, float32 and float64 stay as they are, other numbers become
            float32. Integer targets are class labels, [N] or [N, 1]; float targets stay float.

    Returns:
        The data, with x_test as the official test set (``digits`` has none).

    Raises:
        DataError: nothing is found there, or it holds what no training can use.

    >>> data = load_data("digits")
    >>> tuple(data.x.shape), data.classes, data.official_test
    ((1797, 1, 8, 8), 10, 0)
    """
    if isinstance(spec, Data):
        return spec
    if isinstance(spec, tuple):
        return _from_tuple(spec)
    if not isinstance(spec, str | Path):
        raise DataError(f"data cannot be a {type(spec).__name__}; {_ACCEPTED}")
    return _digits() if str(spec) == "digits" else _from_path(Path(spec).expanduser())


def _digits() -> Data:
    from sklearn.datasets import load_digits  # noqa: PLC0415 - takes a second to import

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images.astype(np.float32)).reshape(-1, 1, 8, 8)
    return Data("digits", x, torch.from_numpy(labels.astype(np.int64)))


def _from_path(path: Path) -> Data:
    if path.is_dir():
        return _from_parts(path.resolve().name, read_idx_folder(path))
    if not path.exists():
        raise DataError(f"data {str(path)!r}: no such file or folder; {_ACCEPTED}")
    if path.suffix != ".npz":
        raise DataError(
            f"data {str(path)!r}: cannot read {path.suffix or 'such'} files; {_ACCEPTED}"
        )
    return _from_parts(path.stem, _read_npz(path))


def _from_tuple(arrays: tuple[Any, ...]) -> Data:
    if len(arrays) != len(PARTS):
        raise DataError(
            f"a tuple of data must be (x_train, y_train, x_test, y_test), got {len(arrays)}"
            " entries; without an official test set give Data(name, x, y)"
        )
    return _from_parts("arrays", dict(zip(PARTS, arrays, strict=True)))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            names = loaded.files if isinstance(loaded, np.lib.npyio.NpzFile) else []
            found = {part: loaded[part] for part in PARTS if part in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); write it with numpy.savez and plain numbers"
        ) from error
    missing = [part for part in PARTS if part not in names]
    if missing:
        raise DataError(
            f"{path}: must hold {', '.join(PARTS)}; {', '.join(missing)} is missing,"
            f" got {', '.join(names) or 'no named arrays'}"
        )
    return found


def _from_parts(name: str, parts: dict[str, Any]) -> Data:
    x_train, x_test = (_inputs(name, part, parts[part]) for part in ("x_train", "x_test"))
    y_train, y_test = (_targets(name, part, parts[part]) for part in ("y_train", "y_test"))
    _check_pair(name, "train", x_train, y_train)
    _check_pair(name, "test", x_test, y_test)
    if x_train.shape[1:] != x_test.shape[1:] or y_train.shape[1:] != y_test.shape[1:]:
        raise DataError(
            f"{name}: rows of test must have the shape of those of train; got inputs"
            f" {tuple(x_test.shape[1:])} for {tuple(x_train.shape[1:])} and targets"
            f" {tuple(y_test.shape[1:])} for {tuple(y_train.shape[1:])}"
        )
    if x_train.dtype != x_test.dtype or y_train.dtype != y_test.dtype:
        raise DataError(
            f"{name}: train and test must have the same types; got {x_train.dtype} and"
            f" {x_test.dtype} inputs, {y_train.dtype} and {y_test.dtype} targets"
        )
    return Data(name, torch.cat([x_train, x_test]), torch.cat([y_train, y_test]), len(x_test))


def _check_pair(name: str, part: str, x: Tensor, y: Tensor) -> None:
    if len(x) != len(y):
        raise DataError(
            f"{name}: x_{part} and y_{part} must have the same length, got {len(x)} and {len(y)}"
        )
    if len(x) == 0:
        raise DataError(f"{name}: x_{part} must hold at least one row, got none")


def _inputs(name: str, part: str, values: Any) -> Tensor:
    array = _numbers(name, part, values)
    if array.dtype not in (np.uint8, np.float32, np.float64):
        array = array.astype(np.float32)
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and _channels_last(array.shape):
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    elif array.ndim not in (2, 4):
        raise DataError(
            f"{name}: {part} must be [N, D], [N, H, W], [N, C, H, W] or [N, H, W, C],"
            f" got {array.shape}"
        )
    return torch.tensor(array)


def _channels_last(shape: tuple[int, ...]) -> bool:
    return shape[3] in (1, 3, 4) and shape[1] > 4 and shape[2] > 4


def _targets(name: str, part: str, values: Any) -> Tensor:
    array = _numbers(name, part, values)
    if array.dtype.kind == "f":
        return torch.tensor(array.astype(np.float32 if array.itemsize <= 4 else np.float64))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return torch.tensor(array.astype(np.int64))


def _numbers(name: str, part: str, values: Any) -> np.ndarray:
    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: {part} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "buif" or array.ndim == 0:
        raise DataError(
            f"{name}: {part} must be an array of numbers, got type {array.dtype} and shape"
            f" {array.shape}"
        )
    return array
