"""From what a user gives as the model to a factory: built-in name, import path, file, callable."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from torch import nn

from ravine.core.errors import ModelError, SettingError, unknown
from ravine.problems._models import Factory, linear, mlp_factory


def find_factory(model: str | Factory) -> tuple[str, Factory]:
    """Return the name and the factory of a model.

    Args:
        model: ``linear``; ``mlp[:WIDTHS][:ACTIVATION][:INIT]``; ``package.module:factory``, where
            the current folder is searched too; ``path/to/file.py:factory``; or a callable.
            A factory is called as ``factory(input_shape, classes)`` and returns a new module.

    Raises:
        SettingError: the name of a model or factory is unknown.
        ModelError: the module cannot be imported, or what is named cannot be called.
    """
    if isinstance(model, nn.Module):
        raise ModelError(
            f"model must be a factory, got a {type(model).__name__} module; give a function that"
            " returns a new one each time, such as lambda input_shape, classes: ..."
        )
    if callable(model):
        return getattr(model, "__name__", type(model).__name__), model
    if not isinstance(model, str):
        raise ModelError(f"model must be a string or a callable, got {model!r}")
    if model == "linear":
        return model, linear
    if model.split(":")[0] == "mlp":
        return model, mlp_factory(model)
    return model, _imported(model)


def call_factory(
    name: str, factory: Callable[..., Any], shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Return the module a factory makes.

    Raises:
        ModelError: the factory raises, or returns no module with parameters.
    """
    try:
        module = factory(shape, outputs)
    except Exception as error:
        raise ModelError(
            f"model {name!r}: the factory, called with {shape} and {outputs}, raised"
            f" {type(error).__name__}: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"model {name!r}: the factory must return a torch.nn.Module, got a"
            f" {type(module).__name__}"
        )
    if next(module.parameters(), None) is None:
        raise ModelError(f"model {name!r}: the module must have parameters to train, got none")
    return module


def _imported(spec: str) -> Factory:
    place, colon, attribute = spec.rpartition(":")
    if spec.endswith(".py"):
        raise SettingError(
            f"model must name a factory in its file, as in {spec}:build, got {spec!r}"
        )
    if not colon:
        forms = ["linear", "mlp", "package.module:factory", "path/to/file.py:factory"]
        raise unknown("model", spec, forms)
    module = _from_file(spec, Path(place)) if place.endswith(".py") else _from_name(spec, place)
    factory = getattr(module, attribute, None)
    if factory is None:
        own = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise unknown(f"factory of {place}:", attribute, own)
    if not callable(factory) or isinstance(factory, nn.Module):
        raise ModelError(
            f"model {spec!r}: {attribute} must be a function of input shape and classes, got a"
            f" {type(factory).__name__}"
        )
    return factory


def _from_name(spec: str, name: str) -> ModuleType:
    # The `ravine` command does not have the current folder on its path, as `python -m` has.
    with _searching(Path.cwd()), _importing(spec):
        return importlib.import_module(name)


def _from_file(spec: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"model {spec!r}: no such file {path}; give path/to/file.py:factory")
    name = f"ravine_model_{path.stem}_{crc32(str(path.resolve()).encode()):08x}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None  # given for every .py file
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    with _searching(path.resolve().parent), _importing(spec):
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
def _importing(spec: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ModelError(
            f"model {spec!r} cannot be imported: {type(error).__name__}: {error}; give"
            " package.module:factory or path/to/file.py:factory"
        ) from error
