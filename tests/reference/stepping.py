"""Every oracle has one form: a step of a whole model, `(ws, gradient, state, t, **hypers) -> ws`.

`ws` is a list of arrays, `gradient` a function from such a list to the list of gradients there,
`state` a dict that starts empty and `t` is 1 at the first step. A rule that looks at one tensor
at a time, `(w, g, slot, t, **hypers) -> w`, becomes such a step by `each`; a rule that looks at
all tensors at once, `(ws, gs, state, t, **hypers) -> ws`, by `together`.
"""

from collections.abc import Callable

import numpy as np

Arrays = list[np.ndarray]
Gradient = Callable[[Arrays], Arrays]
Step = Callable[..., Arrays]


def each(update: Callable[..., np.ndarray]) -> Step:
    """Lift the update of one tensor to a model; every tensor has a dict of its own."""

    def step(ws, gradient, state, t, **hypers):
        gs = gradient(ws)
        slots = state.setdefault("slots", [{} for _ in ws])
        return [update(w, g, slot, t, **hypers) for w, g, slot in zip(ws, gs, slots, strict=True)]

    return step


def together(update: Callable[..., Arrays]) -> Step:
    """Lift an update that needs the gradients of all tensors at once."""

    def step(ws, gradient, state, t, **hypers):
        return update(ws, gradient(ws), state, t, **hypers)

    return step


def average(slot: dict, name: str, new: np.ndarray, beta: float, start=0.0) -> np.ndarray:
    """Move `slot[name]`, at first `start`, to `beta old + (1 - beta) new` and return it."""
    old = slot.get(name, np.full_like(new, start))
    slot[name] = beta * old + (1 - beta) * new
    return slot[name]


def trajectory(step: Step, ws: Arrays, gradient: Gradient, steps: int, **hypers):
    """Return the weights after each of `steps` steps, and the state at the end."""
    state: dict = {}
    path = []
    for t in range(1, steps + 1):
        ws = step(ws, gradient, state, t, **hypers)
        path.append(ws)
    return path, state
