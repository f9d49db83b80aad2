"""Small models that a rule steps, and the formula's own step of them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ravine.rules import Rule, initial_state, reference_step
from ravine.testing._paths import gradient, start

Hypers = Mapping[str, float]
States = list[dict[str, Tensor]]
# Weights, and their states and scalars.
Model = tuple[list[Tensor], States]


def begin(rule: Rule, dtype: torch.dtype, hypers: Hypers, scale: float = 1.0) -> Model:
    """Return a model before its first step, its weights of size about ``scale``."""
    weights = [torch.from_numpy(w * scale).to(dtype) for w in start()]
    return weights, [initial_state(rule, w, hypers) for w in weights]


def copied(model: Model) -> Model:
    """Return a copy that shares no memory."""
    weights, states = model
    return [w.clone() for w in weights], [{n: v.clone() for n, v in s.items()} for s in states]


def gradients(weights: Sequence[Tensor], t: int) -> list[Tensor]:
    """Return the gradients at these weights at step ``t``."""
    found = gradient([w.double().numpy() for w in weights], t)
    return [torch.from_numpy(g).to(w) for w, g in zip(weights, found, strict=True)]


def formula_step(
    rule: Rule, model: Model, grads: Sequence[Tensor], t: int, hypers: Hypers
) -> Model:
    """Return the model after one step of the formula.

    Raises:
        AssertionError: When the formula fails.
    """
    try:
        return reference_step(rule, model[0], grads, model[1], t, hypers)
    except Exception as error:
        raise AssertionError(
            f"{rule.name}: the formula fails with tensors: {type(error).__name__}: {error}"
        ) from error


def column(rule: Rule, model: Model, name: str) -> list[Tensor]:
    """Return ``w``, a state or a scalar of every weight tensor."""
    return model[0] if name == "w" else [state[name] for state in model[1]]


def same_bits(a: Model, b: Model) -> bool:
    """Whether two models are the same to the last bit."""
    flat = [[*weights, *(v for s in states for v in s.values())] for weights, states in (a, b)]
    return all(x.numpy().tobytes() == y.numpy().tobytes() for x, y in zip(*flat, strict=True))
