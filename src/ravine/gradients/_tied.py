"""A module with other tensors in place of its own, right where they stand in several places."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call


def places(module: nn.Module) -> dict[str, int]:
    """Return the identity of the tensor at every place of a module, each module inside once.

    `functional_call` finds tied tensors itself, but of a module that stands in two places it puts
    its own tensors back in place of the given ones.
    """
    return {
        f"{prefix}.{name}" if prefix else name: id(tensor)
        for prefix, one in module.named_modules()
        for own in (one._parameters, one._buffers)
        for name, tensor in own.items()
        if tensor is not None
    }


def call_with(
    module: nn.Module,
    where: Mapping[str, int],
    tensors: Mapping[int, Tensor],
    arguments: Sequence[Any],
) -> Any:
    """Return what a module gives with other tensors in place of its own.

    Args:
        module: Stays as it is.
        where: From `places`.
        tensors: By the identity of the tensor they stand for, wherever that is.
        arguments: Of the module.
    """
    given = {place: tensors[key] for place, key in where.items() if key in tensors}
    return functional_call(module, given, tuple(arguments), tie_weights=False)
