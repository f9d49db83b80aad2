"""Checkpoints of named parameters, matched by name and not by position."""

from typing import Any

from ravine.core.errors import SettingError
from ravine.optim._groups import Group


def matched_by_name(groups: list[Group], saved: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with its parameters in the order of an optimizer's groups.

    Settings stay with the group of the same position; states follow the names. A checkpoint or an
    optimizer without names is left as it is: torch then goes by position.

    Args:
        groups: The optimizer's groups.
        saved: A state dict.

    Raises:
        SettingError: When a name is missing from the checkpoint, or it holds one too many.
    """
    theirs = saved["param_groups"]
    named = all("param_names" in group for group in [*groups, *theirs])
    if not named or len(groups) != len(theirs):
        return saved
    numbers = {
        name: number
        for group in theirs
        for name, number in zip(group["param_names"], group["params"], strict=True)
    }
    _check(set(numbers), {name for group in groups for name in group["param_names"]})
    return saved | {
        "param_groups": [
            group
            | {
                "params": [numbers[name] for name in own["param_names"]],
                "param_names": list(own["param_names"]),
            }
            for own, group in zip(groups, theirs, strict=True)
        ]
    }


def _check(found: set[str], expected: set[str]) -> None:
    if found != expected:
        raise SettingError(
            "parameter names of the checkpoint must be those of the optimizer;"
            f" missing: {_listed(expected - found)}; unexpected: {_listed(found - expected)}"
        )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
