"""The reference step: the formula called with torch tensors, one operation after another.

It runs on every device and dtype that torch has, and every kernel is tested against it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.rules._rule import Rule
from ravine.rules._vocabulary import Leaves

Numbers = Mapping[str, float] | Sequence[Mapping[str, float]]


def initial_state(rule: Rule, weight: Tensor, hypers: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the states and scalars of a weight tensor before the first step.

    Args:
        rule: The rule.
        weight: Weight tensor, any shape.
        hypers: Hyper-parameters; what is named in ``rule.init`` starts at one of them.

    Returns:
        A tensor like the weight per state, and a double of no dimension per scalar.
    """
    numbers = {
        name: float(hypers[rule.init[name]]) if rule.init.get(name, "w") != "w" else 0.0
        for name in rule.kept
    }
    states = {
        name: torch.full_like(weight, numbers[name], memory_format=torch.preserve_format)
        for name in rule.state
    }
    for name in rule.state:
        if rule.init.get(name) == "w":
            states[name].copy_(weight.detach())
    return states | {
        name: torch.tensor(numbers[name], dtype=torch.float64) for name in rule.scalars
    }


@torch.no_grad()
def reference_step(
    rule: Rule,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[Mapping[str, Tensor]],
    t: float | Sequence[float],
    hypers: Numbers,
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return weights and states after one step of all tensors of one model.

    Args:
        rule: The rule, modifiers included.
        weights: Weight tensors.
        gradients: Gradient per weight tensor, of its shape.
        states: States and scalars per weight tensor, by name.
        t: Number of this step, from 1; one for all tensors, or one each.
        hypers: Hyper-parameters by formula name; one mapping for all tensors, or one each.
    """
    kept = [Leaves(tuple(s[name] for s in states)) for name in rule.kept]
    numbers = _per_leaf(hypers, t, len(weights))
    new = rule.function(Leaves(tuple(weights)), Leaves(tuple(gradients)), *kept, **numbers)
    after = 1 + len(rule.state)
    columns = [_per_weight(value, weights) for value in new[:after]]
    columns += [
        _scalars(value, over, len(weights))
        for value, over in zip(new[after:], rule.scalars.values(), strict=True)
    ]
    new_states = [dict(zip(rule.kept, row, strict=True)) for row in zip(*columns[1:], strict=True)]
    return columns[0], new_states or [{} for _ in weights]


@torch.no_grad()
def reference_readout(
    rule: Rule, weight: Tensor, state: Mapping[str, Tensor], t: float, hypers: Mapping[str, float]
) -> Tensor:
    """Return the weights to evaluate: the rule's readout, or the stored weights themselves."""
    if rule.readout is None:
        return weight
    return rule.readout(weight, *(state[name] for name in rule.kept), t=t, **hypers)


def _per_weight(value: Any, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return a result per weight tensor, in its shape and dtype: a formula may give a number."""
    values = value.values if isinstance(value, Leaves) else [value] * len(weights)
    return [
        torch.as_tensor(v).to(weight).expand_as(weight)
        for v, weight in zip(values, weights, strict=True)
    ]


def _scalars(value: Any, over: str, count: int) -> list[Tensor]:
    """Return a scalar per weight tensor; a member has one, which its first tensor decides."""
    values = list(value.values) if isinstance(value, Leaves) else [value] * count
    if over == "member":
        values = values[:1] * count
    return [torch.as_tensor(v, dtype=torch.float64) for v in values]


def _per_leaf(hypers: Numbers, t: float | Sequence[float], count: int) -> dict[str, Any]:
    if isinstance(hypers, Mapping) and not isinstance(t, Sequence):
        return {"t": t, **hypers}
    rows = [hypers] * count if isinstance(hypers, Mapping) else list(hypers)
    steps = t if isinstance(t, Sequence) else [t] * count
    return {
        "t": Leaves(tuple(steps)),
        **{name: Leaves(tuple(row[name] for row in rows)) for name in rows[0]},
    }
