"""Products with second derivatives: forward over reverse, or reverse twice where that cannot be.

Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian"; Schraudolph 2002, "Fast
curvature matrix-vector products for second-order gradient descent".
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp

from ravine.core.errors import ModelError, first_line
from ravine.core.seeding import rng
from ravine.gradients._curvature_objective import Objective, Tensors, flat

# A difference of float32 gradients has two digits; a share that is missing is rarely less.
_NEAR = 0.05

Product = Callable[[Tensors], Tensors]


def hessian_product(here: Objective) -> tuple[Product, str]:
    """Return ``v -> H v`` and how it is computed.

    Raises:
        ModelError: The function cannot be differentiated twice.
    """
    ways: dict[str, Product] = {
        "torch.func": lambda v: jvp(grad(here.value), (here.point,), (v,))[1],
        "double backward": lambda v: _hessian_by_reverse(here, v),
    }
    product, source = _first_that_works(here, ways)
    if source == "double backward":
        _check_by_differences(here, product)
    return product, source


def gauss_newton_product(here: Objective) -> tuple[Product, str]:
    """Return ``v -> J^T H_out J v``, H_out the Hessian of the loss in the model's outputs.

    Raises:
        ModelError: The function cannot be differentiated twice.
    """
    return _first_that_works(
        here,
        {
            "torch.func": lambda v: _gauss_newton_by_forward(here, v),
            "double backward": lambda v: _gauss_newton_by_reverse(here, v),
        },
    )


@cache
def load_forward_mode() -> None:
    """Let torch load what its forward mode needs, without the warning it gives itself.

    Its first use compiles a few formulas with ``torch.jit.script``, which torch has deprecated.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))


def _first_that_works(here: Objective, ways: dict[str, Product]) -> tuple[Product, str]:
    """Return the first way that runs: old-style autograd functions know no torch.func."""
    load_forward_mode()
    probe = tuple(torch.zeros_like(t) for t in here.point)
    errors = []
    for name, way in ways.items():
        try:
            way(probe)
        except RuntimeError as error:
            errors.append(f"{name}: {first_line(error)}")
            continue
        return way, name
    raise ModelError(
        "the function cannot be differentiated twice; write the backward of its own"
        f" torch.autograd.Function with differentiable operations ({'; '.join(errors)})"
    )


def _check_by_differences(here: Objective, product: Product) -> None:
    """Raise unless a product agrees with a difference of gradients.

    A backward that cuts the graph, such as one marked ``once_differentiable``, gives 0 in place of
    its share and says nothing.
    """
    random = torch.from_numpy(rng(0, "differences").standard_normal(here.size)).to(here.dtype)
    point, v = flat(here.point), random / random.norm()
    h = torch.finfo(here.dtype).eps ** (1 / 3) * max(1.0, float(point.norm()))
    ahead, behind = (replace(here, point=here.split(point + s * h * v)) for s in (1, -1))
    expected = (ahead.gradient() - behind.gradient()) / (2 * h)
    found = flat(product(here.split(v))).detach()
    if (found - expected).norm() > _NEAR * torch.maximum(found.norm(), expected.norm()) + h:
        raise ModelError(
            "the function cannot be differentiated twice: its second derivative along a random"
            f" direction is {float(found.norm()):.4g} long, by differences of gradients"
            f" {float(expected.norm()):.4g}; write the backward of its own"
            " torch.autograd.Function with differentiable operations"
        )


def _gauss_newton_by_forward(here: Objective, v: Tensors) -> Tensors:
    outputs, along = jvp(here.inner, (here.point,), (v,))[:2]
    curved = jvp(grad(here.outer), (outputs,), (along,))[1]
    back = vjp(here.inner, here.point)[1]
    return back(curved)[0]


def _hessian_by_reverse(here: Objective, v: Tensors) -> Tensors:
    tensors = _leaves(here)
    with torch.enable_grad():
        first = _pulled(here.value(tensors), tensors, create_graph=True)
        return _twice(first, tensors, v)


def _gauss_newton_by_reverse(here: Objective, v: Tensors) -> Tensors:
    tensors = _leaves(here)
    with torch.enable_grad():
        outputs = here.inner(tensors)
        # J v is the derivative of u -> (J^T u) . v, which is linear in u.
        u = torch.zeros_like(outputs, requires_grad=True)
        along = _twice(_pulled(outputs, tensors, u, create_graph=True), (u,), v)[0]
        scores = outputs.detach().requires_grad_()
        curved = _twice(
            _pulled(here.outer(scores), (scores,), create_graph=True), (scores,), (along,)
        )
        return _pulled(outputs, tensors, curved[0])


def _leaves(here: Objective) -> Tensors:
    return tuple(t.clone().requires_grad_() for t in here.point)


def _pulled(
    value: Tensor, tensors: Tensors, weight: Tensor | None = None, *, create_graph: bool = False
) -> Tensors:
    settings: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}
    return torch.autograd.grad(value, tensors, weight, create_graph=create_graph, **settings)


def _twice(first: Tensors, tensors: Tensors, v: Tensors) -> Tensors:
    """Return the derivative of ``first . v``; 0 where ``first`` does not depend on the tensors."""
    joined = sum((f * w).sum() for f, w in zip(first, v, strict=True))
    if not isinstance(joined, Tensor) or not joined.requires_grad:
        return tuple(torch.zeros_like(t) for t in tensors)
    return _pulled(joined, tensors)
