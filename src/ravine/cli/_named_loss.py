"""What ``--loss`` of ``ravine check`` names: a built-in loss, or a function of one's own."""

from typing import Any

from ravine.core.errors import ModelError
from ravine.problems._losses import LOSSES, Loss
from ravine.problems._user_code import named


def named_loss(spec: str) -> str | Loss:
    """Return a built-in loss's name as it is, else the function that is named.

    Args:
        spec: ``softmax``, ``hinge``, ``package.module:function``, where the current folder is
            searched too, or ``path/to/file.py:function``. Called as ``loss(outputs, targets)``.

    Raises:
        SettingError: The loss is none of these, or the module has no such function.
        ModelError: The module cannot be imported, or what is named cannot be called so.
    """
    if spec in LOSSES:
        return spec
    found: Any = named("--loss", spec, "function", tuple(LOSSES))
    if isinstance(found, type) or not callable(found):
        kind = "the class" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ModelError(
            f"--loss {spec}: {spec.rpartition(':')[2]} must be a function of outputs and"
            f" targets, got {kind}"
            + (f" {found.__name__}; name an instance of it" if isinstance(found, type) else "")
        )
    return found
