"""Derivatives of any order along a line, by nesting."""

from collections.abc import Callable
from math import isclose
from typing import cast

import torch
from torch import Tensor

from ravine.core.errors import ModelError, SettingError
from ravine.gradients._curvature_objective import Objective, Tensors, flat
from ravine.gradients._curvature_products import hessian_product, load_forward_mode


def directional_derivative(here: Objective, direction: Tensor, order: int = 1) -> float:
    r"""Return a derivative of any order along a line.

    .. math:: \frac{d^n}{dh^n} L(w + h u) \Big|_{h=0}

    Order 1 is the gradient's, order 2 the Hessian's product. From order 3 on, forward and reverse
    derivatives are both nested and must agree: torch's fused normalisation layers have wrong
    derivatives of such orders, in one mode or in both, and give no error.

    Args:
        here: The point.
        direction: u, flat [P], as long as it is given.
        order: n, >= 0; cost and memory about double with each.

    Raises:
        SettingError: The order is negative or the direction has another shape.
        ModelError: Forward and reverse derivatives disagree.

    >>> from ravine.gradients._curvature_objective import objective_of
    >>> here = objective_of(lambda w: (w**4).sum(), torch.tensor([2.0]))
    >>> [directional_derivative(here, torch.ones(1), n) for n in range(6)]
    [16.0, 32.0, 48.0, 48.0, 24.0, 0.0]
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise SettingError(f"order must be an integer >= 0, got {order!r}")
    if direction.shape != (here.size,):
        raise SettingError(f"direction must have shape ({here.size},), got {direction.shape}")
    u = direction.to(here.dtype)
    if order == 0:
        return here.at(flat(here.point))
    if order == 1:
        return float(here.gradient() @ u)
    if order == 2:
        return float(flat(hessian_product(here)[0](here.split(u))).detach() @ u)
    return _nested(here, here.split(u), order)


def _nested(here: Objective, along: Tensors, order: int) -> float:
    def on_line(h: Tensor) -> Tensor:
        moved = (w + h * u for w, u in zip(here.point, along, strict=True))
        return here.value(cast(Tensors, tuple(moved)))

    start = torch.zeros((), dtype=here.dtype)
    forward, reverse = _forward(on_line, order)(start).item(), _reverse(on_line, order, start)
    near = torch.finfo(here.dtype).eps ** 0.5
    if not isclose(forward, reverse, rel_tol=near, abs_tol=near):
        raise ModelError(
            f"derivative {order} by forward and by reverse differentiation must agree, got"
            f" {forward:.6g} and {reverse:.6g}: an operation's derivatives are wrong, as those of"
            " torch's LayerNorm and BatchNorm are; write that layer with basic operations"
        )
    return forward


def _forward(function: Callable[[Tensor], Tensor], order: int) -> Callable[[Tensor], Tensor]:
    load_forward_mode()
    for _ in range(order):
        function = _derived(function)
    return function


def _derived(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda h: torch.func.jvp(function, (h,), (torch.ones_like(h),))[1]


def _reverse(function: Callable[[Tensor], Tensor], order: int, start: Tensor) -> float:
    with torch.enable_grad():
        h = start.clone().requires_grad_()
        value = function(h)
        for _ in range(order):
            if not value.requires_grad:  # a constant: all further derivatives are 0
                return 0.0
            (value,) = torch.autograd.grad(value, h, create_graph=True, materialize_grads=True)
    return value.item()
