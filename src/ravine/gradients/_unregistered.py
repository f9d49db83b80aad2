"""Tensors that a model holds where no optimizer sees them: in plain lists, dicts and attributes."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn


def unregistered(model: nn.Module) -> list[str]:
    """Return the attributes that hold leaves with gradients which `parameters()` does not give.

    >>> model = nn.Linear(2, 2)
    >>> model.extra = [nn.Linear(2, 2), model.weight]
    >>> unregistered(model)
    ['extra']
    """
    seen = {id(one) for one in model.parameters()}
    return [
        f"{path}.{key}" if path else key
        for path, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, Tensor | list | tuple | dict)
        and key not in _TORCHS_OWN
        and any(one.requires_grad and id(one) not in seen for one in _leaves(value))
    ]


_TORCHS_OWN = frozenset(vars(nn.Module()))


def _leaves(part: Any) -> Iterator[Tensor]:
    if isinstance(part, Tensor):
        if part.is_leaf:
            yield part
    elif isinstance(part, nn.Module):
        yield from part.parameters()
    elif isinstance(part, Mapping):
        yield from (found for one in part.values() for found in _leaves(one))
    elif isinstance(part, list | tuple):
        yield from (found for one in part for found in _leaves(one))
