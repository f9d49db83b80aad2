"""A reader of the IDX files that MNIST and its relatives come in, gzipped or not.

Format: two zero bytes, a type code (8: unsigned byte), the number of dimensions, each size as a
big-endian 32-bit integer, then the values. Source: yann.lecun.com/exdb/mnist, "File formats".
"""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from ravine.core.errors import DataError

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
_UNSIGNED_BYTE = 8


def read_idx_folder(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays x_train, y_train, x_test, y_test (uint8) of an MNIST-format folder.

    Raises:
        DataError: a file is missing or broken, or images are not [N, H, W] or labels not [N].
    """
    arrays = {part: read_idx(_find(folder, name)) for part, name in FILES.items()}
    for part, values in arrays.items():
        dimensions = 3 if part.startswith("x") else 1
        if values.ndim != dimensions:
            raise DataError(
                f"{_find(folder, FILES[part])}: must have {dimensions} dimensions,"
                f" got {values.ndim}; is it another file under this name?"
            )
    return arrays


def read_idx(path: Path) -> np.ndarray:
    """Return the array of one IDX file of unsigned bytes.

    Raises:
        DataError: the file is no IDX file of unsigned bytes, or is cut off.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{path}: not an IDX file, it must start with two zero bytes")
    if content[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path}: values must be unsigned bytes (type 8), got type {content[2]}")
    start = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) - start != prod(shape):
        raise DataError(
            f"{path}: must hold {prod(shape)} values for its shape {shape}, got"
            f" {max(0, len(content) - start)}; the file is cut off or damaged, fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be unzipped ({error}); fetch the file again") from error


def _find(folder: Path, name: str) -> Path:
    # Some mirrors write a dot where the original has a dash: train-images.idx3-ubyte.
    for candidate in (name, name.replace("-idx", ".idx")):
        for path in (folder / candidate, folder / f"{candidate}.gz"):
            if path.is_file():
                return path
    raise DataError(
        f"{folder}: {name} or {name}.gz is missing; a folder in MNIST's format holds"
        f" {', '.join(FILES.values())}, each gzipped or not"
    )
