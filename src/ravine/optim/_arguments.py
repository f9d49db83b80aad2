"""A constructor's arguments as the defaults of its groups."""

from typing import Any

from ravine.core.errors import SettingError
from ravine.optim._groups import unknown_setting
from ravine.optim._precision import PRECISION


def settings(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a constructor was given, without itself and its parameters.

    Args:
        arguments: The constructor's ``locals()``.

    Raises:
        SettingError: When ``fused`` and ``foreach`` are both True.
        TypeError: When a keyword is none of the constructor's.
    """
    if arguments.get("fused") and arguments.get("foreach"):
        raise SettingError(
            "`fused` and `foreach` cannot be `True` together: fused and foreach must not both be"
            " True; Ravine needs neither"
        )
    left_out = ("self", "params", "__class__", "precision")
    given = {name: value for name, value in arguments.items() if name not in left_out}
    precision = arguments.get("precision", {})
    for name in precision.keys() - set(PRECISION):
        error = str(unknown_setting("argument", name, [*given, *PRECISION]))
        # As Python says it, and torch with it.
        raise TypeError(f"unexpected keyword {error.removeprefix('unknown ')}")
    return given | precision
