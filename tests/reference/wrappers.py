"""SAM and Lookahead: steps around a step."""

import numpy as np

from tests.reference.stepping import Step


def sam(inner: Step, *, eps: float = 1e-12) -> Step:
    """Foret et al. 2021, arXiv:2010.01412, Algorithm 1, equation 2 with p = 2.

    The inner step gets the weights and the gradient at `w + rho g / (||g|| + eps)`, the norm
    over all tensors; eps is that of the authors' code.
    """

    def step(ws, gradient, state, t, *, rho, **hypers):
        gs = gradient(ws)
        length = np.sqrt(sum((g**2).sum() for g in gs))
        worst = [w + rho * g / (length + eps) for w, g in zip(ws, gs, strict=True)]
        second = gradient(worst)
        return inner(ws, lambda _: second, state, t, **hypers)

    return step


def lookahead(inner: Step) -> Step:
    """Zhang et al. 2019, arXiv:1907.08610, Algorithm 1; the inner state is kept.

    Every `sync` steps the slow weights, `state["slow"]`, move towards the fast ones and these
    start again from there.
    """

    def step(ws, gradient, state, t, *, sync, alpha, **hypers):
        if t == 1:
            state["slow"] = [w.copy() for w in ws]
        fast = inner(ws, gradient, state, t, **hypers)
        if t % sync:
            return fast
        state["slow"] = [s + alpha * (f - s) for s, f in zip(state["slow"], fast, strict=True)]
        return [s.copy() for s in state["slow"]]

    return step
