"""The data of a problem: tensors as stored, checked once when given."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ravine.core.errors import DataError
from ravine.problems._numbers import integer

# Rows looked at together: bounds the temporary float copies of large data to some megabytes.
CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs and targets of a problem, kept as stored and checked when made.

    Args:
        name: what reports call the data.
        x: inputs, images [N, C, H, W] or vectors [N, D]; uint8, float32 or float64, finite.
        y: class labels, int64 [N] in 0..K-1, or finite float targets [N, ...]. Float targets
            [N] are kept as [N, 1], the shape of the outputs of a model with one output.
        official_test: number of trailing rows that are the official test set; 0: every seed
            makes its own test split.
        classes: K, >= 2. None: the largest training label + 1, and then every class must have a
            training row. Stays None for float targets.

    Raises:
        DataError: what the tensors hold cannot be trained on; the message names the row.
        SettingError: official_test or classes is no integer or too small.

    >>> data = Data("toy", torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]))
    >>> data.classes, data.outputs, data.input_shape
    (2, 2, (3,))
    """

    name: str
    x: Tensor
    y: Tensor
    official_test: int = 0
    classes: int | None = None

    def __post_init__(self) -> None:
        _check_inputs(self)
        _check_sizes(self)
        if self.y.is_floating_point():
            _check_float_targets(self)
            object.__setattr__(self, "y", self.y[:, None] if self.y.ndim == 1 else self.y)
        else:
            object.__setattr__(self, "classes", _checked_classes(self))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (C, H, W) or (D,)."""
        return tuple(self.x.shape[1:])

    @property
    def outputs(self) -> int:
        """Number of outputs a model needs: K for classes, else the width of the targets."""
        return self.classes if self.classes is not None else self.y[0].numel()

    @property
    def training_rows(self) -> int:
        """Number of rows that are not part of the official test set."""
        return len(self.x) - self.official_test


def _check_inputs(data: Data) -> None:
    x = data.x
    if not isinstance(x, Tensor) or x.dtype not in (torch.uint8, torch.float32, torch.float64):
        given = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise DataError(f"{data.name}: x must be a uint8, float32 or float64 tensor, got {given}")
    if x.device.type != "cpu":
        raise DataError(f"{data.name}: x must be on the CPU, got {x.device}; give x.cpu()")
    if x.ndim not in (2, 4) or 0 in x.shape[1:]:
        shape = tuple(x.shape)
        raise DataError(
            f"{data.name}: x must be vectors [N, D] or images [N, C, H, W], none of them 0,"
            f" got {shape}; greyscale images have C = 1"
        )
    _check_finite(data, x, "x")


def _check_sizes(data: Data) -> None:
    x, y, test = data.x, data.y, data.official_test
    if not isinstance(y, Tensor) or not (y.dtype == torch.int64 or y.is_floating_point()):
        given = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise DataError(f"{data.name}: y must be an int64 or float tensor, got {given}")
    if y.ndim == 0 or len(x) != len(y):
        rows = len(y) if y.ndim else "a single number"
        raise DataError(f"{data.name}: x and y must have the same length, got {len(x)} and {rows}")
    if len(x) == 0:
        raise DataError(f"{data.name}: x must hold at least one row, got none")
    if integer(f"{data.name}: official_test", test, 0) >= len(x):
        raise DataError(
            f"{data.name}: official_test must be < {len(x)}, the number of rows, got {test};"
            " the other rows are for training"
        )


def _check_finite(data: Data, values: Tensor, part: str) -> None:
    if not values.is_floating_point():
        return
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        bad = ~torch.isfinite(chunk.reshape(len(chunk), -1)).all(1)
        if bad.any():
            row = start + int(bad.nonzero()[0])
            raise DataError(
                f"{data.name}: {part} must be finite, got NaN or infinity in {_where(data, row)};"
                " remove such rows or fill them in"
            )


def _where(data: Data, row: int) -> str:
    if not data.official_test:
        return f"row {row}"
    test_row = row - data.training_rows
    return f"test row {test_row}" if test_row >= 0 else f"training row {row}"


def _check_float_targets(data: Data) -> None:
    if data.classes is not None:
        raise DataError(
            f"{data.name}: classes={data.classes} needs integer labels, got {data.y.dtype}"
            " targets; convert them to int64 or leave classes out"
        )
    _check_finite(data, data.y, "y")


def _checked_classes(data: Data) -> int:
    y = data.y
    if y.ndim != 1:
        raise DataError(
            f"{data.name}: labels must be [N], got {tuple(y.shape)}; one-hot rows become labels"
            " with y.argmax(1)"
        )
    if data.classes is None:
        classes = _present_classes(data)
    else:
        classes = integer(f"{data.name}: classes", data.classes, 2)
    bad = (y < 0) | (y >= classes)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise DataError(
            f"{data.name}: labels must be 0..{classes - 1}, got {int(y[row])} in"
            f" {_where(data, row)}; number the classes of train from 0"
        )
    return classes


def _present_classes(data: Data) -> int:
    present = data.y[: data.training_rows].unique()
    present = present[present >= 0]  # negative labels are reported with their row
    classes = int(present[-1]) + 1 if len(present) else 0
    absent = (present != torch.arange(len(present))).nonzero()
    if len(absent):
        raise DataError(
            f"{data.name}: labels must be 0..K-1 with every class in train; they run to"
            f" {classes - 1} and class {int(absent[0])} has no training row; renumber the labels"
            f" from 0, or give classes={classes}"
        )
    return _at_least_two(data, classes)


def _at_least_two(data: Data, classes: int) -> int:
    if classes == 1:
        raise DataError(
            f"{data.name}: train must hold at least 2 classes, got only label 0; give classes=2"
            " if there is a second one"
        )
    return classes
