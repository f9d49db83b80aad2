"""One step of the parameters of a rule as they are now, whatever they are.

Everything is looked at anew. Later steps of the same parameters take a prepared launch instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ravine.kernels import Kernel, addresses, kernel, lower, plan
from ravine.optim._memory import kernel_can, wide
from ravine.optim._states import state_key
from ravine.rules import Rule, reference_step


class Leaf(NamedTuple):
    """One parameter in one step."""

    parameter: Tensor
    gradient: Tensor
    state: dict[str, Any]
    t: float
    hypers: Mapping[str, float]


def run(rule: Rule, leaves: Sequence[Leaf]) -> Kernel | None:
    """Update parameters and states in place; return the kernel that could do it in one launch."""
    dtypes = {leaf.parameter.dtype for leaf in leaves}
    program = lower(rule)
    if not all(_kernel_can(leaf.parameter, program.finest) for leaf in leaves):
        _run_reference(rule, leaves)
    elif len(dtypes) == 1:
        compiled = kernel(rule, dtypes.pop())
        _run_kernel(compiled, leaves)
        return compiled
    elif "member" in (*program.sums.values(), *rule.scalars.values()):
        _run_reference(rule, leaves)
    else:
        for dtype in dtypes:
            _run_kernel(kernel(rule, dtype), [x for x in leaves if x.gradient.dtype == dtype])
    return None


def _kernel_can(parameter: Tensor, finest: str) -> bool:
    # Channels are found by their place in memory.
    return kernel_can(parameter) and (finest != "channel" or parameter.is_contiguous())


def _run_kernel(compiled: Kernel, leaves: Sequence[Leaf]) -> None:
    rule = compiled.rule
    columns = [[leaf.state[state_key(rule, name)] for leaf in leaves] for name in rule.state]
    parameters = [leaf.parameter for leaf in leaves]
    table = np.array([[leaf.t, *(leaf.hypers[n] for n in rule.hypers)] for leaf in leaves])
    kept = [[leaf.state[state_key(rule, name)] for name in rule.scalars] for leaf in leaves]
    scalars = np.array(kept, dtype=np.float64).reshape(len(leaves), -1)
    pieces = plan(compiled, [p.shape for p in parameters])
    tensors = addresses([parameters, [leaf.gradient for leaf in leaves], *columns])
    of_tensor = pieces.rows[:, 1]
    rows = scalars[of_tensor]
    compiled(tensors, table[of_tensor], rows, pieces)
    scalars[of_tensor] = rows
    for row, values in zip(kept, scalars, strict=True):
        for tensor, value in zip(row, values, strict=True):
            tensor.fill_(value)


@torch.no_grad()
def _run_reference(rule: Rule, leaves: Sequence[Leaf]) -> None:
    states = [{name: leaf.state[state_key(rule, name)] for name in rule.kept} for leaf in leaves]
    weights, new = reference_step(
        rule,
        [wide(leaf.parameter) for leaf in leaves],
        [wide(leaf.gradient) for leaf in leaves],
        [{name: wide(value) for name, value in state.items()} for state in states],
        [leaf.t for leaf in leaves],
        [leaf.hypers for leaf in leaves],
    )
    for leaf, weight, old, fresh in zip(leaves, weights, states, new, strict=True):
        leaf.parameter.copy_(weight)
        for name in rule.kept:
            old[name].copy_(fresh[name])
