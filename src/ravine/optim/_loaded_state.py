"""What a checkpoint's states may hold: names, and the shapes of what lies under them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from torch import Tensor

from ravine.core.errors import SettingError
from ravine.optim._groups import Group

Shape = tuple[int, ...]
# Shapes of which a tensor must have one; None among them stands for nothing there.
Options = tuple[Shape | None, ...]
Contents = Mapping[str, Options | list[Options]]

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
    """
    numbers = loaded["params"]
    names = loaded.get("param_names") or [f"parameter {number}" for number in numbers]
    for name, parameter, number in zip(names, own["params"], numbers, strict=True):
        if saved["state"].get(number):  # an empty one has not begun
            yield name, parameter, saved["state"][number]


def check_state(owner: str, state: Mapping[str, Any], kept: Kept) -> None:
    """Check the names and shapes of a state.

    Args:
        owner: What to call its parameter.
        state: As a checkpoint holds it.
        kept: What it may hold.

    Raises:
        SettingError: When a name is missing or unknown, or something has another shape.
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
    """Check the shapes of what a state holds, whatever else it holds.

    Raises:
        SettingError: When something has another shape.
    """
    for name in [name for name in contents if name in state]:
        options, value = contents[name], state[name]
        called = f"{name} in the checkpoint's state of {owner}"
        if not isinstance(options, list):
            _check_shape(called, value, options)
            continue
        if not isinstance(value, list) or len(value) != len(options):
            got = f"{len(value)}" if isinstance(value, list) else type(value).__name__
            raise SettingError(f"{called} must be a list of {len(options)}, got {got}")
        for place, (item, each) in enumerate(zip(value, options, strict=True)):
            _check_shape(f"{name}[{place}] in the checkpoint's state of {owner}", item, each)


def _check_shape(called: str, value: Any, options: Options) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    found = tuple(value.shape) if isinstance(value, Tensor) else () if number else None
    if found not in options or (found is None and value is not None):
        wanted = " or ".join(str(option and tuple(option)) for option in options)
        got = type(value).__name__ if found is None else found
        raise SettingError(
            f"{called} must have the shape {wanted}, got {got}; was it made with another model?"
        )
