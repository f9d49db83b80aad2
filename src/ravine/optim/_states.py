"""What an optimizer keeps per parameter: begun at its first step, laid out as the parameter."""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from ravine.optim._memory import alike, laid_out
from ravine.rules import Rule, initial_state

State = dict[str, Any]
States = MutableMapping[Tensor, State]


def state_key(rule: Rule, name: str) -> str:
    """Return the key of a state or scalar: torch's where torch has one."""
    return rule.state_aliases.get(name, name)


def begin(
    states: States, rule: Rule, parameter: Tensor, hypers: Mapping[str, float], *, counted: bool
) -> State:
    """Return a parameter's state with everything in it that the rule keeps.

    Args:
        states: The optimizer's states by parameter.
        rule: The rule.
        parameter: A parameter of the optimizer.
        hypers: Its hyper-parameters by formula name.
        counted: Whether states count their steps.
    """
    state = states[parameter]
    if counted:
        state["step"] = step_tensor(state.get("step", 0))
    missing = [name for name in rule.kept if state_key(rule, name) not in state]
    if missing:
        start = initial_state(rule, parameter, hypers)
        for name in missing:
            key = state_key(rule, name)
            state[key] = _shared(states, rule, name, key, start[name])
    return state


def step_tensor(steps: Any) -> Tensor:
    """Return a number of steps as torch begins it, whatever a checkpoint or a hand has put there.

    In half precision or a short integer it could not be counted further.

    Args:
        steps: A number, or a tensor with one element.
    """
    double = torch.float64 in (getattr(steps, "dtype", None), torch.get_default_dtype())
    dtype = torch.float64 if double else torch.float32  # as in torch
    return torch.as_tensor(steps, dtype=dtype, device="cpu").reshape(())


def _shared(states: States, rule: Rule, name: str, key: str, start: Tensor) -> Tensor:
    """Return a scalar's present value where all tensors share it and others have begun."""
    if rule.scalars.get(name) == "member":
        begun = (state[key] for state in states.values() if key in state)
        return next(begun, start).clone()
    return start


def begin_step(
    states: States, rule: Rule, parameter: Tensor, hypers: Mapping[str, float], *, counted: bool
) -> tuple[State, float]:
    """Return a parameter's state, in its memory layout, and the number of this step.

    The arguments are those of `begin`.
    """
    if not rule.kept and not counted:
        return {}, 1.0
    before = states.get(parameter, {})
    begins = any(state_key(rule, name) not in before for name in rule.kept)
    state = begin(states, rule, parameter, hypers, counted=counted)
    for name in rule.scalars:  # torch's loader gives them the parameter's dtype
        key = state_key(rule, name)
        state[key] = torch.as_tensor(state[key]).to("cpu", torch.float64)
    for name in rule.state:
        key = state_key(rule, name)
        # A checkpoint, or the model's move to another dtype or layout, may bring another.
        if not alike(state[key], parameter):
            state[key] = laid_out(state[key], parameter)
    if not counted:
        return state, 1.0 if begins else 2.0
    state["step"] = state["step"] + 1
    return state, float(state["step"])


def share_member_scalars(states: States, rule: Rule, parameters: Iterable[Tensor]) -> None:
    """Let all begun states hold one tensor for each scalar of the whole model.

    A parameter that gets no gradient for some steps then knows the present value, and may not
    bring back an old one. Where tensors still differ, the state with most steps has the value.

    Args:
        states: The optimizer's states by parameter.
        rule: The rule.
        parameters: All parameters of the rule's groups.
    """
    keys = [state_key(rule, name) for name, over in rule.scalars.items() if over == "member"]
    begun = [states[p] for p in parameters if p in states] if keys else []
    for key in keys:
        held = [state for state in begun if key in state]
        if held:
            latest = max(held, key=lambda state: float(state.get("step", 0.0)))[key]
            for state in held:
                state[key] = latest
