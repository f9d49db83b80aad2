"""A parameter's coded states: under which keys they lie, and how they are read and written.

A state in bfloat16 or float32 lies under torch's key. One in int8 lies under two keys of its own,
codes and exponents, so that ``torch.optim``'s class, which would take codes for values, stops with
a `KeyError` instead. All are small integers or bfloat16: a loader that casts them to the
parameter's dtype, as torch's does, loses nothing.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ravine.core.seeding import rng
from ravine.kernels._coded_layout import BLOCK, BLOCKWISE, Coding
from ravine.optim._loaded_state import NUMBER, Options
from ravine.optim._memory import laid_out, wide
from ravine.optim._precision_codecs import CODE_DTYPES, decode, dither, encode, in_memory_order
from ravine.optim._states import State, state_key
from ravine.rules import Rule

COMPENSATION = "compensation"
# A number that differs at every step and for every parameter, as its eight bytes.
COUNTER = "rounding"


def keys_of(rule: Rule, coding: Coding) -> list[str]:
    """Return the keys of all tensors like the parameter or of its blocks, in the kernel's order."""
    keys = [k for n, c in _codecs(rule, coding) for k in _dtypes(state_key(rule, n), c)]
    return [*keys, COMPENSATION] if coding.rounding == "kahan" else keys


def read(rule: Rule, name: str, state: Mapping[str, Any]) -> Tensor:
    """Return the values of a state or scalar, at least in float32, however they are stored."""
    key = state_key(rule, name)
    if key in state:
        return wide(state[key])
    codec = rule.codecs.get(name, "linear")
    codes, exponents = state[f"{key}_codes"], state[f"{key}_exponents"]
    values = torch.empty_like(codes, dtype=torch.float32)
    in_memory_order(values).copy_(decode(codec, in_memory_order(codes), exponents))
    return values


def stored(
    key: str, codec: str, values: Tensor, parameter: Tensor, random: Tensor | None = None
) -> dict[str, Tensor]:
    """Return what to keep of a state's values, by key.

    Args:
        key: Of the state.
        codec: How it is stored.
        values: Of the parameter's shape.
        parameter: Whose memory layout to take.
        random: 16 bits per element for codecs that round stochastically; to nearest where None.
    """
    plain = torch.empty_like(parameter, dtype=torch.float32).copy_(values)
    if codec == "float32":
        return {key: plain}
    if codec not in BLOCKWISE:
        return {key: halved(plain, None if codec == "nearest" else random)}
    codes = torch.empty_like(plain, dtype=CODE_DTYPES[codec])
    flat, exponents = encode(codec, in_memory_order(plain), random)
    in_memory_order(codes).copy_(flat)
    return {f"{key}_codes": codes, f"{key}_exponents": exponents}


def halved(values: Tensor, random: Tensor | None) -> Tensor:
    """Return dense float32 values in bfloat16: stochastically, or to nearest without bits."""
    if random is None:
        return values.to(torch.bfloat16)
    half = torch.empty_like(values, dtype=torch.bfloat16)
    in_memory_order(half).copy_(dither(in_memory_order(values), random))
    return half


def shapes_of(rule: Rule, parameter: Tensor) -> dict[str, Options]:
    """Return the shape of whatever a checkpoint may hold for a parameter, however it is stored."""
    whole: Options = (tuple(parameter.shape), None)  # torch writes None for what has not begun
    blocks: Options = ((-(-parameter.numel() // BLOCK),),)
    found = {"step": NUMBER, COMPENSATION: whole, COUNTER: ((8,),)}
    for name in rule.state:
        key = state_key(rule, name)
        found |= {key: whole, f"{key}_codes": whole, f"{key}_exponents": blocks}
    return found | {state_key(rule, name): NUMBER for name in rule.scalars}


def settle(
    rule: Rule, coding: Coding, state: State, start: Mapping[str, Tensor], parameter: Tensor
) -> None:
    """Bring a parameter's states into their codecs; those that are missing start anew.

    A checkpoint may hold other dtypes, and a model may move to another memory layout.

    Raises:
        RuntimeError: When a state has another shape than its parameter.
    """
    for name, codec in _codecs(rule, coding):
        key = state_key(rule, name)
        for each, dtype in _dtypes(key, _blockwise(rule, name)).items():
            if each in state:  # torch's loader cast what are integers
                state[each] = state[each].to(dtype)
        if not _is_settled(state, key, codec, parameter):
            kept = key in state or f"{key}_codes" in state
            values = laid_out(read(rule, name, state), parameter) if kept else start[name]
            for old in (key, f"{key}_codes", f"{key}_exponents"):
                state.pop(old, None)
            state.update(stored(key, codec, values, parameter))
    for name in rule.scalars:
        kept = state.get(state_key(rule, name), start[name])
        state[state_key(rule, name)] = torch.as_tensor(kept).to("cpu", torch.float64)
    if coding.rounding == "kahan":
        kept = state.get(COMPENSATION, torch.zeros_like(parameter))
        state[COMPENSATION] = laid_out(kept, parameter)


def unsettle(rule: Rule, states: Mapping[Tensor, State], parameter: Tensor) -> None:
    """Bring states that a checkpoint holds in int8 back into the parameter's dtype."""
    state = states.get(parameter, {})
    for name in rule.state:
        key = state_key(rule, name)
        if f"{key}_codes" in state:
            codes = state[f"{key}_codes"].to(CODE_DTYPES[_blockwise(rule, name)])
            exponents = state[f"{key}_exponents"].to(torch.uint8)
            values = read(rule, name, {f"{key}_codes": codes, f"{key}_exponents": exponents})
            state[key] = laid_out(values, parameter)
            del state[f"{key}_codes"], state[f"{key}_exponents"]


def uncast(state: State, saved: Mapping[str, Any], group: Mapping[str, Any]) -> None:
    """Put back what torch's loader cast from more bits to the parameter's dtype.

    Args:
        state: A parameter's state as the loader left it.
        saved: Its state in the checkpoint.
        group: Its group: states in float32 beside weights in half precision stay so, and numbers
            per tensor, which are kept in double, always.
    """
    wide_states = group.get("state_dtype") == "float32"
    for key, value in saved.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        if (wide_states or value.dim() == 0) and value.itemsize > state[key].itemsize:
            state[key] = value.detach().to(state[key].device, copy=True)


def counter(state: Mapping[str, Any], seed: int, index: int) -> int:
    """Return a parameter's counter: the one it has, or the first of a seed and its place."""
    if COUNTER in state:
        return int(state[COUNTER].to(torch.uint8).view(torch.int64))
    return int(rng(seed, "rounding", index).integers(2**63))


def is_begun(rule: Rule, state: Mapping[str, Any]) -> bool:
    """Whether a state holds anything that the rule keeps per weight."""
    keys = [state_key(rule, name) for name in rule.state]
    return any(key in state or f"{key}_codes" in state for key in keys)


def _codecs(rule: Rule, coding: Coding) -> list[tuple[str, str]]:
    return list(zip(rule.state, coding.states, strict=True))


def _blockwise(rule: Rule, name: str) -> str:
    return rule.codecs.get(name, "linear")


def _dtypes(key: str, codec: str) -> dict[str, torch.dtype]:
    if codec in BLOCKWISE:
        return {f"{key}_codes": CODE_DTYPES[codec], f"{key}_exponents": torch.uint8}
    return {key: torch.float32 if codec == "float32" else torch.bfloat16}


def _is_settled(state: State, key: str, codec: str, parameter: Tensor) -> bool:
    wanted = list(_dtypes(key, codec).items())
    if any(k not in state or state[k].dtype != dtype for k, dtype in wanted):
        return False
    first, like = state[wanted[0][0]], torch.empty_like(parameter, device="meta")
    return (
        (first.shape, first.stride(), first.device)
        == (parameter.shape, like.stride(), parameter.device)
        and not first.is_neg()
        and all(state[k].shape == (-(-parameter.numel() // BLOCK),) for k, _ in wanted[1:])
    )
