"""What a user names as ``package.module:name`` or ``path/to/file.py:name``, imported."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from ravine.core.errors import ModelError, SettingError, unknown


def named(what: str, spec: str, kind: str, builtin: tuple[str, ...]) -> Any:
    """Return what a user names.

    Args:
        what: What asks for it, for messages: ``model``, ``--loss``.
        spec: ``package.module:name``, where the current folder is searched too, or
            ``path/to/file.py:name``.
        kind: What the name should be: ``factory``, ``function``.
        builtin: Names that could have been given instead.

    Raises:
        SettingError: The text has another form, or the module has no such name.
        ModelError: The module cannot be imported.
    """
    place, colon, name = spec.rpartition(":")
    if spec.endswith(".py"):
        raise SettingError(
            f"{what} must name a {kind} in its file, as in {spec}:my_{kind}, got {spec!r}"
        )
    if not colon:
        forms = (f"package.module:{kind}", f"path/to/file.py:{kind}")
        raise unknown(what.removeprefix("--"), spec, [*builtin, *forms])
    if place.endswith(".py") and not Path(place).is_file():
        raise ModelError(f"{what} {spec!r}: no such file {place}; give path/to/file.py:{kind}")
    with _importing(f"{what} {spec!r}", kind):
        module = _from_file(Path(place)) if place.endswith(".py") else _from_name(place)
    found = getattr(module, name, None)
    if found is None:
        own = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise unknown(f"{kind} of {place}:", name, own)
    return found


def _from_name(name: str) -> ModuleType:
    # The `ravine` command does not have the current folder on its path, as `python -m` has.
    with _searching(Path.cwd()):
        return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    name = f"ravine_user_{path.stem}_{crc32(str(path.resolve()).encode()):08x}"
    found = spec_from_file_location(name, path)
    assert found is not None and found.loader is not None  # given for every .py file
    module = module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    with _searching(path.resolve().parent):
        found.loader.exec_module(module)
    return module


@contextmanager
def _searching(folder: Path) -> Iterator[None]:
    """Let a block import modules that lie in a folder, as a script run there can."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _importing(said: str, kind: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a user's module raises
        raise ModelError(
            f"{said} cannot be imported: {type(error).__name__}: {error}; give"
            f" package.module:{kind} or path/to/file.py:{kind}"
        ) from error
