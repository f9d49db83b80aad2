"""From what a user gives as the model to a factory: built-in name, import path, file, callable."""

from collections.abc import Callable
from typing import Any

from torch import nn

from ravine.core.errors import ModelError
from ravine.problems._models import Factory, linear, mlp_factory
from ravine.problems._user_code import named


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
    factory: Factory = named("model", spec, "factory", ("linear", "mlp"))
    if not callable(factory) or isinstance(factory, nn.Module):
        raise ModelError(
            f"model {spec!r}: {spec.rpartition(':')[2]} must be a function of input"
            f" shape and classes, got a {type(factory).__name__}"
        )
    return factory
