"""A constructor's arguments as the defaults of its groups."""

from typing import Any

from ravine.core.errors import SettingError, unknown
from ravine.optim._precision import PRECISION


def settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a constructor was given, without itself and its parameters.

    Args:
        arguments: The constructor's ``locals()``.

    Raises:
        SettingError: When ``fused`` and ``foreach`` are both True.
    """
    if arguments.get("fused") and arguments.get("foreach"):
        raise SettingError(
            "`fused` and `foreach` cannot be `True` together: fused and foreach must not both be"
            " True; Ravine needs neither"
        )
    left_out = ("self", "params", "__class__", "precision")
    given = {name: value for name, value in arguments.items() if name not in left_out}
    return given | checked_names(arguments.get("precision", {}))


def checked_names(precision: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments that can only be settings of precision.

    Raises:
        TypeError: When one is not, as Python does for an argument that a function does not have.
    """
    for name in precision.keys() - set(PRECISION):
        raise TypeError(str(unknown("argument", name, PRECISION)))
    return precision
