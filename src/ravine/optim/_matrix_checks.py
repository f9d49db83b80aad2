"""Checks of settings shared by the optimizers that no rule describes.

Where torch's class of the same name refuses a value, the error holds torch's words too.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from torch import Tensor

from ravine.core.errors import SettingError
from ravine.rules._bounds import Bounds


def check_numbers(
    settings: Mapping[str, Any], bounds: Mapping[str, str], words: Mapping[str, str] | None = None
) -> None:
    """Raise SettingError when a setting is not a number in its interval.

    Args:
        settings: Values by name; a tensor counts as its only element.
        bounds: Intervals such as ``"[0, 1)"`` by name.
        words: What torch says before the value, by name.
    """
    for name, interval in bounds.items():
        value = number(name, settings[name])
        try:
            Bounds.parse(interval).check(name, value)
        except SettingError as error:
            said = (words or {}).get(name)
            raise error if said is None else SettingError(f"{said} {value}; {error}") from None


def number(name: str, value: Any) -> float:
    """Return a setting as a float.

    Raises:
        SettingError: When it is not one real number.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            shape = tuple(value.shape)
            raise SettingError(
                f"Tensor {name} must be 1-element; {name} must be one number, got shape {shape}"
            )
        return float(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SettingError(f"{name} must be a number, got {value!r}")
    return float(value)


def check_tuple(name: str, value: Any, interval: str, length: int = 2) -> None:
    """Raise SettingError when a setting is not a tuple of numbers in an interval."""
    if not isinstance(value, tuple | list) or len(value) != length:
        raise SettingError(f"{name} must be {length} numbers, got {value!r}")
    named = {f"{name}[{i}]": item for i, item in enumerate(value)}
    check_numbers(named, dict.fromkeys(named, interval))


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise SettingError when a setting is not one of a few."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise SettingError(f"{name} must be one of {listed}, got {value!r}")
