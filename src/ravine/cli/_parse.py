"""Values as they are typed: lists separated by commas, NAME=VALUE, numbers."""

from collections.abc import Iterable

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
