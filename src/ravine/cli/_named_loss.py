"""What ``--loss`` of ``ravine check`` names: a built-in loss, or a function of one's own."""

import importlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ravine.core.errors import ModelError, SettingError, first_line, unknown
from ravine.problems._factories import _searching
from ravine.problems._losses import LOSSES, Loss

FORMS = ("package.module:function", "path/to/file.py:function")


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
    place, colon, name = spec.rpartition(":")
    if spec.endswith(".py"):
        raise SettingError(f"--loss must name a function in its file, as in {spec}:loss")
    if not colon:
        raise unknown("loss", spec, [*LOSSES, *FORMS])
    module = _module(spec, place)
    found: Any = getattr(module, name, None)
    if found is None:
        own = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise unknown(f"function of {place}:", name, own)
    if isinstance(found, type) or not callable(found):
        kind = "the class" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ModelError(
            f"--loss {spec}: {name} must be a function of outputs and targets, got {kind}"
            + (f" {found.__name__}; name an instance of it" if isinstance(found, type) else "")
        )
    return found


def _module(spec: str, place: str) -> ModuleType:
    path = Path(place)
    if place.endswith(".py") and not path.is_file():
        raise ModelError(f"--loss {spec}: no such file {place}; give {FORMS[1]}")
    try:
        return _from_file(path) if place.endswith(".py") else _from_name(place)
    except Exception as error:  # whatever a user's module raises
        raise ModelError(
            f"--loss {spec} cannot be imported: {first_line(error)}; give {' or '.join(FORMS)}"
        ) from error


def _from_name(name: str) -> ModuleType:
    with _searching(Path.cwd()):
        return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"ravine_loss_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # given for every .py file
    module = module_from_spec(spec)
    with _searching(path.resolve().parent):
        spec.loader.exec_module(module)
    return module
