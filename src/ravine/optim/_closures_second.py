"""Exact derivatives for methods that solve with whole matrices: Hessians and Jacobians."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.optim._closures import Closure


def trained(parameters: Sequence[Tensor], owner: str, limit: int, instead: str) -> list[Tensor]:
    """Return the parameters that are not frozen.

    Raises:
        SettingError: When there are none, too many, or they differ in dtype or device.
    """
    found = [p for p in parameters if p.requires_grad]
    count = sum(p.numel() for p in found)
    if not 0 < count <= limit:
        raise SettingError(
            f"{owner} solves with a matrix of parameters by parameters: it must have 1 to"
            f" max_parameters={limit} of them, got {count}; use {instead} or another max_parameters"
        )
    kinds = {(p.dtype, p.device) for p in found}
    if len(kinds) > 1:
        raise SettingError(f"parameters of {owner} must share dtype and device, got {len(kinds)}")
    return found


def derivatives(loss: Any, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return gradient and Hessian of a loss as a float64 vector and matrix on the CPU.

    Raises:
        RuntimeError: When the loss has no graph, or its graph has been used up.
    """
    _check_graph(loss)
    with torch.enable_grad():
        first = _unused_graph(lambda: _flat(_rows(loss, parameters, keep=True), 0))
        if not first.requires_grad:  # the loss is linear
            return first.double().cpu(), first.new_zeros(len(first), len(first)).double().cpu()
        each = torch.eye(len(first), dtype=first.dtype, device=first.device)
        second = _flat(_rows(first, parameters, each), 1)
    second = second.double().cpu()
    return first.detach().double().cpu(), (second + second.T) / 2


def jacobian(residuals: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return the Jacobian of flat residuals, float64 of shape ``(residuals, parameters)``.

    Raises:
        RuntimeError: When the residuals have no graph, or it has been used up.
    """
    _check_graph(residuals)
    each = torch.eye(len(residuals), dtype=residuals.dtype, device=residuals.device)
    found = _unused_graph(lambda: _flat(_rows(residuals, parameters, each), 1))
    return found.double().cpu()


def _rows(
    output: Tensor, parameters: Sequence[Tensor], each: Tensor | None = None, keep: bool = False
) -> list[Tensor]:
    found = torch.autograd.grad(
        output,
        parameters,
        each,
        create_graph=keep,
        is_grads_batched=each is not None,
        allow_unused=True,
    )
    # Not by materialize_grads, whose zeros lack the rows of the batch.
    rows = () if each is None else (len(each),)
    return [
        p.new_zeros(*rows, *p.shape) if grad is None else grad
        for p, grad in zip(parameters, found, strict=True)
    ]


def _flat(pieces: Sequence[Tensor], start: int) -> Tensor:
    return torch.cat([piece.flatten(start) for piece in pieces], dim=start)


def _check_graph(output: Any) -> None:
    if not isinstance(output, Tensor) or not output.requires_grad:
        raise RuntimeError(
            "closure must return a tensor that depends on the parameters, computed with gradients"
            " on; do not detach it"
        )


def _unused_graph(compute: Closure) -> Tensor:
    try:
        return compute()
    except RuntimeError as error:
        if "second time" in str(error):
            raise RuntimeError(
                "closure must not call backward(): its graph is needed for exact derivatives;"
                " return the result only"
            ) from error
        raise
