"""What a checkpoint may bring into a parameter group, and what stays the optimizer's own."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ravine.optim._groups import Group
from ravine.optim._precision import PRECISION
from ravine.optim._precision_state import uncast
from ravine.optim._states import States


def precision_of(group: Group) -> Group:
    """Return a group's settings of precision, which no checkpoint changes."""
    return {name: group[name] for name in PRECISION if name in group}


def as_loaded(defaults: Group, group: Group, saved: Group) -> Group:
    """Return what a group would become, for a check before anything changes.

    Args:
        defaults: Settings that an older checkpoint may lack.
        group: As it is.
        saved: The checkpoint's.
    """
    settings = {name: value for name, value in saved.items() if name not in PRECISION}
    return defaults | settings | precision_of(group) | {"params": group["params"]}


def restore(states: States, group: Group, own: Group, numbers: list[int], saved: Any) -> None:
    """Put back what torch's loader has changed, after it.

    Args:
        states: The optimizer's states by parameter.
        group: A loaded group.
        own: Its settings of precision before.
        numbers: Its parameters' numbers in the checkpoint.
        saved: The checkpoint's states by number.
    """
    for name in PRECISION:
        group.pop(name, None)
    group.update(own)
    for parameter, number in zip(group["params"], numbers, strict=True):
        if number in saved:
            _restore_state(states, parameter, saved[number], group)


def _restore_state(
    states: States, parameter: Tensor, saved: Mapping[str, Any], group: Group
) -> None:
    uncast(states[parameter], saved, group)
    # torch may write None for a velocity that has not begun.
    states[parameter] = {k: value for k, value in states[parameter].items() if value is not None}
