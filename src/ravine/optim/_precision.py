"""Precision beside the formula: the settings that say how weights and states are stored."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor

from ravine.core.errors import SettingError, unknown
from ravine.core.numbers import integer
from ravine.kernels._coded import is_elementwise
from ravine.kernels._coded_layout import ROUNDINGS, Coding
from ravine.rules import Rule

STATE_DTYPES = ("float32", "bfloat16", "int8")
# The settings, which a group may bring though the optimizer has no default for them.
PRECISION = ("state_dtype", "param_rounding", "rounding_seed")


class Precision(TypedDict, total=False):
    """How an elementwise rule stores what it keeps; keyword arguments of its optimizer.

    Args:
        state_dtype: ``"float32"``; ``"bfloat16"``, rounded stochastically, because to nearest a
            running mean with a share of .999 would never move; ``"int8"``, in blocks of 256 with
            a scale each, means of squares by their square root. None: the parameter's own dtype,
            as torch has it.
        param_rounding: Of bfloat16 weights: ``"nearest"``, the default; ``"stochastic"``;
            ``"kahan"``, which keeps what rounding cut off in a second bfloat16. With the last
            two, states of the weights' dtype are rounded stochastically.
        rounding_seed: Of the random bits, >= 0; 0 by default. The same seed gives the same bits.
    """

    state_dtype: Literal["float32", "bfloat16", "int8"] | None
    param_rounding: Literal["nearest", "stochastic", "kahan"]
    rounding_seed: int


def check_precision(rule: Rule, group: Mapping[str, Any]) -> None:
    """Check a group's settings of precision.

    Raises:
        SettingError: When one is unknown, or the rule or a parameter cannot be stored so.
    """
    state_dtype, rounding = group.get("state_dtype"), _rounding(group)
    if state_dtype not in (None, *STATE_DTYPES):
        raise unknown("state_dtype", str(state_dtype), STATE_DTYPES)
    if rounding not in ROUNDINGS:
        raise unknown("param_rounding", str(rounding), ROUNDINGS)
    integer("rounding_seed", group.get("rounding_seed", 0), 0)
    if state_dtype is not None or rounding != "nearest":
        _check_rule(rule, state_dtype)
    if rounding != "nearest":
        _check_weights(group["params"], rounding)


def coding_for(rule: Rule, group: Mapping[str, Any], parameter: Tensor) -> Coding:
    """Return how a parameter and its states are stored."""
    half = parameter.dtype == torch.bfloat16
    rounding, state_dtype = _rounding(group), group.get("state_dtype")
    if state_dtype is None:
        own = "nearest" if rounding == "nearest" else "bfloat16"
        codecs = tuple((own if half else "float32") for _ in rule.state)
    elif state_dtype == "int8":
        codecs = tuple(rule.codecs.get(name, "linear") for name in rule.state)
    else:
        codecs = (state_dtype,) * len(rule.state)
    return Coding("nearest" if half else "float32", codecs, rounding)


def is_coded(rule: Rule, group: Mapping[str, Any]) -> bool:
    """Whether a group's parameters or states are stored otherwise than plainly."""
    state_dtype, parameters = group.get("state_dtype"), group["params"]
    if state_dtype in ("bfloat16", "int8") or _rounding(group) != "nearest":
        return True
    if state_dtype == "float32":
        return any(p.dtype != torch.float32 for p in parameters)
    # For weights in bfloat16 the only kernel is the coded one. Most groups end at the first.
    half = bool(parameters) and all(
        p.dtype == torch.bfloat16 and p.device.type == "cpu" for p in parameters
    )
    return half and is_elementwise(rule)


def _rounding(group: Mapping[str, Any]) -> str:
    return group.get("param_rounding") or "nearest"


def _check_rule(rule: Rule, state_dtype: str | None) -> None:
    left_out = f"state_dtype and param_rounding must be left out for {rule.name}"
    if not is_elementwise(rule):
        raise SettingError(f"{left_out}, whose formula has sums over a tensor or model")
    if rule.ascent is not None:
        raise SettingError(f"{left_out}, which takes two gradients a step")
    copies = [name for name in rule.state if rule.init.get(name) == "w"]
    if copies and state_dtype == "int8":
        raise SettingError(
            f"state_dtype must be 'float32' or 'bfloat16' for {rule.name}, got 'int8': its state"
            f" {copies[0]} is a copy of the weights, for which 8 bits are too few"
        )


def _check_weights(parameters: list[Tensor], rounding: str) -> None:
    for parameter in parameters:
        if parameter.dtype != torch.bfloat16:
            raise SettingError(
                f"param_rounding must be 'nearest' for weights in {parameter.dtype}, got"
                f" {rounding!r}; only bfloat16 weights need it: put others in a group of their own"
            )
