"""A rule stepped along a path: by its formula, and by whatever is a torch optimizer."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ravine.kernels import kernel
from ravine.rules import Rule, ascent_rule, initial_state, reference_readout, reference_step
from ravine.testing._kernel_step import KernelStep
from ravine.testing._paths import Arrays, Gradient, Path, loss


def reference_path(
    rule: Rule,
    start: Arrays,
    gradient: Gradient,
    rates: Sequence[float],
    hypers: Mapping[str, float],
    *,
    readout: bool = False,
) -> Path:
    """Return the weights after each step of the formula itself, in double precision.

    Args:
        rule: The rule, modifiers included.
        start: First weights.
        gradient: From weights and step to gradients.
        rates: Learning rate of each step.
        hypers: Other hyper-parameters by formula name.
        readout: Return the weights to evaluate instead of the stored ones.
    """
    weights = _tensors(start)
    states = [initial_state(rule, w, {**hypers, "lr": rates[0]}) for w in weights]
    path = []
    for t, lr in enumerate(rates, 1):
        now = {**hypers, "lr": lr}
        gradients = _second_gradients(rule, weights, gradient, t, now)
        weights, states = reference_step(rule, weights, gradients, states, t, now)
        path.append(_arrays(_evaluated(rule, weights, states, t, now) if readout else weights))
    return path


def optimizer_path(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
    start: Arrays,
    gradient: Gradient,
    rates: Sequence[float],
    *,
    readout: bool = False,
) -> Path:
    """Return the weights after each step of a torch optimizer.

    Every step has a closure that sets the gradients anew and returns the loss, for optimizers
    that ask more than once.

    Args:
        make: From parameters to the optimizer.
        start: First weights.
        gradient: From weights and step to gradients.
        rates: Learning rate of each step.
        readout: Return the weights to evaluate: inside ``readout()``, or after ``eval()``.
    """
    weights = [torch.nn.Parameter(w) for w in _tensors(start)]
    optimizer: Any = make(weights)
    path = []
    for t, lr in enumerate(rates, 1):
        for group in optimizer.param_groups:
            group["lr"] = lr

        def closure(t: int = t) -> Tensor:
            with torch.no_grad():
                for w, g in zip(weights, gradient(_arrays(weights), t), strict=True):
                    w.grad = torch.from_numpy(g)
            return torch.tensor(loss(_arrays(weights), t))

        if hasattr(optimizer, "train"):
            optimizer.train()
        closure()
        optimizer.step(closure)
        path.append(_shown(optimizer, weights) if readout else _arrays(weights))
    return path


def kernel_path(
    rule: Rule,
    start: Arrays,
    gradient: Gradient,
    rates: Sequence[float],
    hypers: Mapping[str, float],
    *,
    readout: bool = False,
) -> Path:
    """Return the weights after each step of the compiled kernel, in double precision.

    The arguments are those of `reference_path`.
    """
    weights = _tensors(start)
    states = [initial_state(rule, w, {**hypers, "lr": rates[0]}) for w in weights]
    step = KernelStep(kernel(rule, torch.float64), [w.shape for w in weights])
    path = []
    for t, lr in enumerate(rates, 1):
        now = {**hypers, "lr": lr}
        gradients = _second_gradients(rule, weights, gradient, t, now)
        step([weights], [gradients], [states], t, [now])
        path.append(_arrays(_evaluated(rule, weights, states, t, now) if readout else weights))
    return path


def _evaluated(
    rule: Rule,
    weights: Sequence[Tensor],
    states: Sequence[Mapping[str, Tensor]],
    t: int,
    hypers: Mapping[str, float],
) -> list[Tensor]:
    pairs = zip(weights, states, strict=True)
    return [reference_readout(rule, w, state, t, hypers) for w, state in pairs]


def _second_gradients(
    rule: Rule, weights: list[Tensor], gradient: Gradient, t: int, hypers: Mapping[str, float]
) -> list[Tensor]:
    gradients = _tensors(gradient(_arrays(weights), t))
    if rule.ascent is None:
        return gradients
    nothing: list[dict[str, Tensor]] = [{} for _ in weights]
    points, _ = reference_step(ascent_rule(rule), weights, gradients, nothing, t, hypers)
    return _tensors(gradient(_arrays(points), t))


def _shown(optimizer: Any, weights: Sequence[Tensor]) -> Arrays:
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    with optimizer.readout() if hasattr(optimizer, "readout") else nullcontext():
        return _arrays(weights)


def _tensors(arrays: Arrays) -> list[Tensor]:
    return [torch.from_numpy(a.copy()) for a in arrays]


def _arrays(tensors: Sequence[Tensor]) -> Arrays:
    return [w.detach().numpy().copy() for w in tensors]
