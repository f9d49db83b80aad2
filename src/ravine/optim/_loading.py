"""What a checkpoint may bring into an optimizer, and what stays the optimizer's own."""

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ravine.core.errors import SettingError
from ravine.optim._groups import Group
from ravine.optim._loaded_state import check_shapes, saved_states
from ravine.optim._precision import PRECISION
from ravine.optim._precision_state import shapes_of, uncast
from ravine.optim._states import States, state_key
from ravine.rules import Rule


def load(
    optimizer: Optimizer,
    state_dict: dict[str, Any],
    adapt: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Load a checkpoint by torch's loader, once it has been adapted and checked.

    Args:
        optimizer: Any optimizer.
        state_dict: The checkpoint.
        adapt: Returns it as it is to be loaded, or raises; it runs behind the hooks of users.

    Returns:
        What ``adapt`` returned.

    Raises:
        SettingError: When it is no optimizer's checkpoint.
    """
    adapted: dict[str, Any] = {}

    def last(_: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
        if not {"state", "param_groups"} <= saved.keys():
            raise SettingError(
                "the checkpoint must be an optimizer's state_dict(), with 'state' and"
                f" 'param_groups', got {sorted(saved)}"
            )
        if not isinstance(saved["state"], Mapping):
            got = type(saved["state"]).__name__
            raise SettingError(f"'state' of the checkpoint must be a mapping, got {got}")
        adapted.update(adapt(saved))
        return adapted

    hook = optimizer.register_load_state_dict_pre_hook(last)
    try:
        Optimizer.load_state_dict(optimizer, state_dict)
    finally:
        hook.remove()
    return adapted


def paired(groups: list[Group], saved: dict[str, Any]) -> list[tuple[Group, Group]]:
    """Return groups with those of a checkpoint; none where their sizes differ, as torch says."""
    both = groups, saved["param_groups"]
    ours, theirs = ([len(group["params"]) for group in each] for each in both)
    return list(zip(*both, strict=True)) if ours == theirs else []


def set_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Do what torch's ``__setstate__`` does, and give groups the settings that they lack.

    A checkpoint or pickle may be older than a setting. torch's own adds ``differentiable`` to
    the defaults of every class, though most have no such setting: those stay as they were.
    """
    settled = state if "defaults" in state else optimizer.__dict__  # a copy begins with none
    defaults = dict(settled["defaults"])
    Optimizer.__setstate__(optimizer, state)
    optimizer.defaults = defaults
    for group in optimizer.param_groups:
        for name, default in defaults.items():
            group.setdefault(name, default)


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


def check_rule_states(rule: Rule, own: Group, group: Group, saved: dict[str, Any]) -> None:
    """Check what a checkpoint holds for a group of a rule; a state that it lacks begins anew.

    Args:
        rule: Of the group once it is loaded.
        own: The group as it is.
        group: The checkpoint's.
        saved: The checkpoint.

    Raises:
        SettingError: When a state is no mapping, something has another shape than its parameter
            or is no tensor of real numbers, or one of a state's two parts in int8 is missing.
    """
    for name, parameter, state in saved_states(own, group, saved):
        if not is_lazy(parameter):
            check_shapes(name, state, shapes_of(rule, parameter))
            _check_parts(rule, name, state)


def _check_parts(rule: Rule, owner: str, state: Mapping[str, Any]) -> None:
    for key in [state_key(rule, name) for name in rule.state]:
        for part, other in permutations((f"{key}_codes", f"{key}_exponents")):
            if state.get(part) is not None and state.get(other) is None:
                raise SettingError(
                    f"{other} must be in the checkpoint's state of {owner}, which has {part};"
                    " without both the state begins anew"
                )


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
