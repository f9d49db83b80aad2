"""The classes that are no traced rule, stepped on the golden problem."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ravine.testing import _golden_problem as problem
from ravine.testing._paths import Path

# Rule to its class in ravine.optim.
CLASSES = {
    "adafactor": "Adafactor",
    "muon": "Muon",
    "muon_with_adamw": "MuonWithAdamW",
    "shampoo": "Shampoo",
    "soap": "SOAP",
    "gradient_descent_armijo": "ArmijoGradientDescent",
    "newton_trust_region": "NewtonTrustRegion",
    "levenberg_marquardt": "LevenbergMarquardt",
    "lbfgs": "LBFGS",
}


def class_path(name: str, hypers: Mapping[str, Any], tensors: tuple[str, ...], steps: int) -> Path:
    """Return the weights after each step of the class of a rule.

    Args:
        name: Name of the rule.
        hypers: Hyper-parameters by formula name.
        tensors: Which of the problem's tensors move.
        steps: How many steps.
    """
    both = [torch.from_numpy(w.copy()) for w in problem.START]
    moving = [w for w, tensor in zip(both, ("W", "b"), strict=True) if tensor in tensors]
    for w in moving:
        w.requires_grad_()
    optimizer = _optimizer(name, moving, class_arguments(hypers))
    closure = _closure(name, both, moving)
    path = []
    for _ in range(steps):
        if name not in _EVALUATING:
            closure()
        optimizer.step(closure)
        path.append([w.detach().numpy().copy() for w in moving])
    return path


def _optimizer(name: str, moving: list[Tensor], arguments: dict[str, Any]) -> Any:
    """Return the class over the tensors that move.

    torch's Muon iterates in bfloat16 and so does Ravine's; the stored trajectory does not, and is
    compared with MuonWithAdamW, whose iteration has a dtype.
    """
    library: Any = import_module("ravine.optim")
    if "muon" not in name:
        return getattr(library, CLASSES[name])(moving, **arguments)
    groups = [{"params": [w], "use_muon": w.ndim == 2} for w in moving]
    return library.MuonWithAdamW(groups, ns_dtype="float64", **arguments)


def class_arguments(hypers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a class's arguments from the formula's names.

    >>> class_arguments({"lr": 0.1, "mu": 0.9, "beta1": 0.8, "beta2": 0.9})
    {'lr': 0.1, 'momentum': 0.9, 'betas': (0.8, 0.9)}
    """
    pairs = {
        **{"beta1": ("betas", 2), "adamw_beta1": ("adamw_betas", 2), "eps1": ("eps", 2)},
        "mu": ("momentum", 1),
    }
    given: dict[str, Any] = {}
    for name, value in hypers.items():
        plain = tuple(value) if isinstance(value, list) else value
        argument, count = pairs.get(name, (name, 1))
        if count == 2:
            given[argument] = (plain, hypers[f"{name[:-1]}2"])
        elif not (name.endswith("2") and f"{name[:-1]}1" in hypers):
            given[argument] = plain
    return given


# These evaluate by the closure alone.
_EVALUATING = (
    "gradient_descent_armijo",
    "newton_trust_region",
    "levenberg_marquardt",
    "lbfgs",
)


def _closure(name: str, both: list[Tensor], moving: list[Tensor]) -> Callable[[], Tensor]:
    """Return what the class evaluates: residuals, the loss, or the loss with its gradients."""
    if name == "levenberg_marquardt":
        return lambda: _residuals(both)
    if name == "newton_trust_region":
        return lambda: _residuals(both).square().sum() / 2

    def backward() -> Tensor:
        with torch.enable_grad():
            loss = _residuals(both).square().sum() / 2
        for w, gradient in zip(moving, torch.autograd.grad(loss, moving), strict=True):
            w.grad = gradient
        return loss.detach()

    return backward


def _residuals(both: list[Tensor]) -> Tensor:
    weight, bias = both
    x, y, c = (torch.from_numpy(np.array(a)) for a in (problem.X, problem.Y, problem.C))
    outputs = torch.tanh(x @ weight.T + bias)
    return torch.cat([(outputs - y).flatten(), weight.T @ bias - c])
