"""What a parameter group may hold: names, values and parameters, checked when they are given.

Where torch's class of the same name refuses a value, the error holds torch's words too.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError, unknown
from ravine.rules import Rule

Group = dict[str, Any]

# What torch's own classes and schedulers write into groups, and a name for people.
KEYS_OF_TORCH = (
    *("params", "param_names", "name", "initial_lr", "swa_lr"),
    *("max_lr", "min_lr", "base_momentum", "max_momentum"),
)
# Names that other libraries use, too far from ours to be found by spelling.
_MEANT = {"learning_rate": "lr"}
_WORDS = {"lr": "learning rate", "eps": "epsilon value", "lambd": "lambd value"}


def check_names(group: Group, known: Collection[str]) -> None:
    """Raise SettingError when a group brings a setting that the optimizer does not have."""
    for name in group:
        if name not in known and name not in KEYS_OF_TORCH:
            raise unknown_setting("setting of a parameter group", name, known)


def unknown_setting(kind: str, given: str, known: Collection[str]) -> SettingError:
    """Return the error for an unknown setting, naming the one meant, however it is spelled."""
    meant = _MEANT.get(given)
    if meant not in known:
        return unknown(kind, given, known)
    listed = ", ".join(sorted(known))
    return SettingError(f"unknown {kind} {given!r}; did you mean {meant!r}? Known: {listed}")


def check_values(values: Mapping[str, Any]) -> None:
    """Raise SettingError when a setting is text, or a tensor of several numbers."""
    for name, value in values.items():
        if isinstance(value, str):  # float() would read it
            raise SettingError(f"{name} must be a number, got {value!r}")
        if isinstance(value, Tensor) and value.numel() != 1:
            shape = tuple(value.shape)
            raise SettingError(
                f"Tensor {name} must be 1-element; {name} must be one number, got shape {shape}"
            )


def check_tuples(rule: Rule, group: Group) -> None:
    """Raise SettingError when a setting such as ``betas`` is not as many numbers as it must be."""
    lengths: dict[str, int] = {}
    for alias in rule.aliases.values():
        name, _, index = alias.partition("[")
        if index and name in group:
            lengths[name] = max(lengths.get(name, 0), 1 + int(index[:-1]))
    for name, length in lengths.items():
        _check_tuple(name, group[name], length)


def _check_tuple(name: str, value: Any, length: int) -> None:
    if not isinstance(value, tuple | list) or len(value) != length:
        counted = {2: "two", 3: "three"}[length]
        raise SettingError(f"{name} must be {counted} numbers, got {value!r}")
    kinds = {isinstance(item, Tensor) for item in value}
    if len(kinds) > 1:
        raise SettingError(f"{name} must be either both floats or both Tensors, got {value!r}")
    check_values({f"{name}[{i}]": item for i, item in enumerate(value)})


def check_hypers(rule: Rule, hypers: Mapping[str, float], group: Group) -> None:
    """Raise SettingError when a hyper-parameter lies outside its bounds.

    Args:
        rule: The group's rule.
        hypers: Its hyper-parameters by formula name.
        group: The group, for the values as they were given.
    """
    for name, value in hypers.items():
        bounds = rule.bounds[name]
        if name == "lr":  # a schedule may bring a rate to 0, as in torch
            bounds = replace(bounds, closed_low=True)
        key = key_of(rule, name, group)
        try:
            bounds.check(key, _given(group, key, value))
        except SettingError as error:
            raise SettingError(f"{_torch_words(key, group, value)}; {error}") from None


def check_parameters(group: Group) -> None:
    """Raise SettingError when a parameter is of a kind that no rule can update.

    Wrappers that dispatch every operation themselves, DTensor among them, have no memory of their
    own; subclasses without a dispatch are ordinary tensors.
    """
    for parameter in group["params"]:
        if parameter.is_complex():
            raise SettingError("parameters must be real, got a complex one; use view_as_real")
        if parameter.layout != torch.strided:
            raise SettingError(
                f"parameters must be dense, got one of layout {parameter.layout}; use to_dense()"
            )
        kind = type(parameter)
        if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
            raise SettingError(
                f"parameters must be plain tensors, got a {kind.__name__}; give the local tensors"
                " behind it (a DTensor's to_local()), or use torch.optim"
            )
        if not parameter.is_floating_point():
            raise SettingError(f"parameters must be floating-point, got {parameter.dtype}")


def key_of(rule: Rule, name: str, group: Group) -> str:
    """Return where a group holds a hyper-parameter: its alias, or the formula's name."""
    alias = rule.aliases.get(name, name)
    return alias if alias.partition("[")[0] in group else name


def hypers_of(group: Group, rule: Rule) -> dict[str, float]:
    """Return a group's values under the formula's names.

    Raises:
        SettingError: When one is no number.
    """
    keys = {name: key_of(rule, name, group) for name in rule.hypers}
    return {name: number(key, _at(group, key)) for name, key in keys.items()}


def numbers_of(group: Group, rule: Rule) -> list[float]:
    """Return a group's values in the order of the formula's hyper-parameters.

    Raises:
        SettingError: When one is no number, or a tuple of them is none.
    """
    check_tuples(rule, group)
    return list(hypers_of(group, rule).values())


def check_numbers(group: Group, rule: Rule) -> None:
    """Raise SettingError when a hyper-parameter in a group is no number."""
    check_tuples(rule, group)
    for key in (key_of(rule, name, group) for name in rule.hypers):
        check_number(key, _at(group, key))


def check_number(key: str, value: Any) -> None:
    """Raise SettingError when a setting is no number; tensors, on any device, are not read."""
    if isinstance(value, Tensor):
        check_values({key: value})
    else:
        number(key, value)


def places_of(group: Group, rule: Rule) -> list[tuple[str, int | None]]:
    """Return where a group holds each hyper-parameter: a key, and a place in a tuple."""
    split = [key_of(rule, name, group).partition("[") for name in rule.hypers]
    return [(key, int(index[:-1]) if index else None) for key, _, index in split]


def number(key: str, value: Any) -> float:
    """Return a setting as a number.

    Raises:
        SettingError: When it is none; text is none, though Python would read it.
    """
    check_values({key: value})
    try:
        return float(value)
    except (TypeError, ValueError):
        raise SettingError(f"{key} must be a number, got {value!r}") from None


def _at(group: Group, key: str) -> Any:
    name, _, index = key.partition("[")
    value = group[name]
    if not index:
        return value
    try:
        return value[int(index[:-1])]
    except (TypeError, IndexError):
        raise SettingError(f"{name} must be a tuple of numbers, got {value!r}") from None


def _given(group: Group, key: str, value: float) -> Any:
    given = _at(group, key)
    return value if isinstance(given, Tensor) else given


def _torch_words(key: str, group: Group, value: float) -> str:
    name, _, index = key.partition("[")
    if name == "etas":
        return f"Invalid eta values: {group['etas'][0]}, {group['etas'][1]}"
    if index:
        return f"Invalid {name[:-1]} parameter at index {index[:-1]}: {_given(group, key, value)}"
    return f"Invalid {_WORDS.get(name, f'{name} value')}: {_given(group, key, value)}"
