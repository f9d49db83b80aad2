"""The weights to evaluate, written into parameters for a while."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ravine.optim._groups import Group, hypers_of
from ravine.optim._precision_state import read
from ravine.rules import Rule, reference_readout


@torch.no_grad()
def read_out(parameter: Tensor, rule: Rule, group: Group, state: Mapping[str, Any]) -> None:
    """Write a rule's readout into a parameter that has begun."""
    named = {name: read(rule, name, state) for name in rule.kept}
    hypers = hypers_of(group, rule)
    parameter.copy_(reference_readout(rule, parameter, named, float(state["step"]), hypers))


@torch.no_grad()
def put_back(stored: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Write stored weights into their parameters."""
    for parameter, weight in stored:
        parameter.copy_(weight)
