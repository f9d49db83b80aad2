"""What a checkpoint's states may hold: names, and the kinds and shapes of what lies there."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.optim._groups import Group

Shape = tuple[int, ...]
# Shapes of which a tensor must have one; None among them stands for nothing there.
Options = tuple[Shape | None, ...]
Contents = Mapping[str, Options | list[Options]]

# A tensor without dimensions, or a number of Python; known by being this very object, because a
# weight without dimensions has the same shape.
NUMBER: Options = ((),)


@dataclass(frozen=True)
class Kept:
    """What a begun state holds under its names: a tensor or number, or a list of them.

    Args:
        needed: What it must hold.
        optional: What it may hold.
    """

    needed: Contents
    optional: Contents = field(default_factory=dict)


def saved_states(
    own: Group, loaded: Group, saved: Mapping[str, Any]
) -> Iterator[tuple[str, Tensor, Mapping[str, Any]]]:
    """Return what to call each parameter that has a state in a checkpoint, itself and the state.

    Args:
        own: A group of the optimizer.
        loaded: The checkpoint's group for it.
        saved: The checkpoint.

    Raises:
        SettingError: When a state is no mapping.
    """
    numbers = loaded["params"]
    names = loaded.get("param_names") or [f"parameter {number}" for number in numbers]
    for name, parameter, number in zip(names, own["params"], numbers, strict=True):
        state = saved["state"].get(number, {})
        if not isinstance(state, Mapping):
            raise SettingError(
                f"the checkpoint's state of {name} must be a mapping, got {type(state).__name__};"
                " leave out what has not begun"
            )
        if state:  # an empty one has not begun
            yield name, parameter, state


def check_state(owner: str, state: Mapping[str, Any], kept: Kept) -> None:
    """Check the names, kinds and shapes in a state.

    Args:
        owner: What to call its parameter.
        state: As a checkpoint holds it.
        kept: What it may hold.

    Raises:
        SettingError: When a name is missing or unknown, or as `check_shapes` does.
    """
    missing = kept.needed.keys() - state.keys()
    unexpected = state.keys() - kept.needed.keys() - kept.optional.keys()
    if missing or unexpected:
        listed = [", ".join(sorted(map(str, names))) or "none" for names in (missing, unexpected)]
        raise SettingError(
            f"the checkpoint's state of {owner} must be one of this optimizer; missing:"
            f" {listed[0]}; unexpected: {listed[1]}"
        )
    check_shapes(owner, state, {**kept.needed, **kept.optional})


def check_shapes(owner: str, state: Mapping[str, Any], contents: Contents) -> None:
    """Check the kinds and shapes of what a state holds, whatever else it holds.

    Raises:
        SettingError: When something has another shape or is no dense tensor of real numbers, or
            the number of steps is negative or not finite.
    """
    for name in [name for name in contents if name in state]:
        options, value = contents[name], state[name]
        called = f"{name} in the checkpoint's state of {owner}"
        if not isinstance(options, list):
            _check_shape(called, value, options)
            if name == "step":
                _check_steps(called, float(value))
            continue
        if not isinstance(value, list) or len(value) != len(options):
            got = f"{len(value)}" if isinstance(value, list) else type(value).__name__
            raise SettingError(f"{called} must be a list of {len(options)}, got {got}")
        for place, (item, each) in enumerate(zip(value, options, strict=True)):
            _check_shape(f"{name}[{place}] in the checkpoint's state of {owner}", item, each)


def _check_shape(called: str, value: Any, options: Options) -> None:
    number = options is NUMBER and isinstance(value, Real) and not isinstance(value, bool)
    found = tuple(value.shape) if isinstance(value, Tensor) else () if number else None
    if found not in options or (found is None and value is not None):
        wanted = " or ".join(str(None if o is None else tuple(o)) for o in options)
        got = type(value).__name__ if found is None else found
        raise SettingError(
            f"{called} must have the shape {wanted}, got {got}; was it made with another model?"
        )
    if isinstance(value, Tensor):
        _check_kind(called, value)


def _check_kind(called: str, value: Tensor) -> None:
    if value.layout != torch.strided or value.is_complex() or value.dtype == torch.bool:
        raise SettingError(
            f"{called} must be a dense tensor of real numbers, got one of {value.dtype} and layout"
            f" {value.layout}"
        )


def _check_steps(called: str, steps: float) -> None:
    if not 0 <= steps < math.inf:
        raise SettingError(f"{called} must be a number of steps made, >= 0, got {steps}")
