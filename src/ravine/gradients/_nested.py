"""Tensors at any depth of tuples, lists and dicts, in one order everywhere."""

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from torch import Tensor


def named_tensors(part: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in a part of a batch, with its name.

    >>> import torch
    >>> part = {"x": (torch.ones(1), 3, [torch.ones(2)])}
    >>> [name for name, _ in named_tensors(part, "input")]
    ["input['x'][0]", "input['x'][2][0]"]
    """
    if isinstance(part, Tensor):
        yield name, part
    elif isinstance(part, Mapping):
        for key, one in part.items():
            yield from named_tensors(one, f"{name}[{key!r}]")
    elif isinstance(part, tuple | list):
        for i, one in enumerate(part):
            yield from named_tensors(one, f"{name}[{i}]")


def tensors_in(part: Any) -> list[Tensor]:
    """Return every tensor in a part of a batch."""
    return [one for _, one in named_tensors(part)]


def mapped(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a part of a batch in the same form, each of its tensors changed.

    >>> import torch
    >>> mapped((torch.ones(1), {"n": 3}), lambda one: one + 1)
    (tensor([2.]), {'n': 3})
    """
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, Mapping):
        # A copy keeps the kind, which may carry attributes; a read-only one becomes a dict.
        made = copy.copy(part) if isinstance(part, MutableMapping) else {}
        made.update({key: mapped(one, change) for key, one in part.items()})
        return made
    if isinstance(part, tuple | list):
        parts = [mapped(one, change) for one in part]
        return type(part)(*parts) if hasattr(part, "_fields") else type(part)(parts)
    return part
