"""Values as they are typed: lists separated by commas, NAME=VALUE, numbers, files."""

import os
from collections.abc import Iterable
from pathlib import Path

from ravine.core.errors import SettingError


def names(option: str, text: str) -> list[str]:
    """Read a list of names.

    >>> names("--optimizers", "sgd, adam")
    ['sgd', 'adam']
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise SettingError(f"{option} must be names separated by commas, got {text!r}")
    return parts


def numbers(option: str, text: str) -> list[float]:
    """Read a list of numbers.

    >>> numbers("--lr", "1e-3,0.1")
    [0.001, 0.1]
    """
    return [_number(option, part) for part in text.split(",")]


def settings(given: Iterable[str]) -> dict[str, float]:
    """Read hyper-parameters; one given twice is an error.

    >>> settings(["momentum=0.99", "adam.beta1=0.95"])
    {'momentum': 0.99, 'adam.beta1': 0.95}
    """
    values: dict[str, float] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals):
            raise SettingError(f"--set must look like momentum=0.99, got {text!r}")
        if name in values:
            raise SettingError(f"--set must name a setting once, got {name!r} twice")
        values[name] = _number(f"--set {name}", value)
    return values


def point(option: str, text: str) -> dict[str, float]:
    """Read values of variables; one given twice is an error.

    >>> point("--at", "x=-2, y=5")
    {'x': -2.0, 'y': 5.0}
    """
    values: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (one.strip() for one in part.partition("="))
        if not (name and equals):
            raise SettingError(f"{option} must look like x=-2,y=5, got {text!r}")
        if name in values:
            raise SettingError(f"{option} must give {name} once, got it twice")
        values[name] = _number(f"{option} {name}", value)
    return values


def file_to_write(option: str, path: Path, suffix: str) -> Path:
    """Check that a file can be written, before the work whose result it will hold.

    Raises:
        SettingError: Its name ends otherwise, its folder does not exist, or neither may be written.
    """
    if path.suffix != suffix:
        raise SettingError(f"{option} must be a file ending in {suffix}, got {path}")
    if not path.parent.is_dir():
        raise SettingError(f"{option}: folder {path.parent} does not exist; make it first")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SettingError(f"{option}: {path} cannot be written; give another name")
    return path


def batch_size(text: str) -> int | str:
    """Read a batch size: a whole number or ``full``.

    >>> batch_size("64"), batch_size("full")
    (64, 'full')
    """
    if text == "full":
        return text
    try:
        return int(text)
    except ValueError:
        raise SettingError(f"--batch must be a whole number or 'full', got {text!r}") from None


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"{option} must be a number, got {text.strip()!r}") from None
