"""Modifiers: functions from a step to a step. The one applied last acts first on the gradient."""

from collections.abc import Callable

import numpy as np

from tests.reference.stepping import Arrays, Step


def _on_gradients(change: Callable[..., Arrays]) -> Callable[[Step], Step]:
    """Return the modifier that changes the gradients by `change(gs, ws, setting)`."""

    def modifier(inner: Step) -> Step:
        def step(ws, gradient, state, t, *, setting=None, **hypers):
            return inner(ws, lambda at: change(gradient(at), at, setting), state, t, **hypers)

        return step

    return modifier


def _tensor_norm(g: np.ndarray) -> float:
    return float(np.sqrt((g**2).sum()))


def _clipped_globally(gs, _, largest):
    length = np.sqrt(sum(_tensor_norm(g) ** 2 for g in gs))
    return [g * min(1.0, largest / (length + 1e-6)) for g in gs]


def _centred(g: np.ndarray) -> np.ndarray:
    return g - g.mean(axis=tuple(range(1, g.ndim)), keepdims=True) if g.ndim >= 2 else g


# g + lambda w
weight_decay = _on_gradients(
    lambda gs, ws, decay: [g + decay * w for g, w in zip(gs, ws, strict=True)]
)
# every element into [-c, c]: torch.nn.utils.clip_grad_value_
clip_value = _on_gradients(lambda gs, _, c: [np.clip(g, -c, c) for g in gs])
# every tensor to a norm of at most c, with the 1e-6 of torch.nn.utils.clip_grad_norm_
clip_norm = _on_gradients(lambda gs, _, c: [g * min(1.0, c / (_tensor_norm(g) + 1e-6)) for g in gs])
# all tensors together, as torch.nn.utils.clip_grad_norm_
clip_global_norm = _on_gradients(_clipped_globally)
# Yong et al. 2020, arXiv:2004.01461: no mean over all dimensions but the first
centralise = _on_gradients(lambda gs, _, __: [_centred(g) for g in gs])
maximize = _on_gradients(lambda gs, _, __: [-g for g in gs])


def _shrinking(factor: Callable[[float, float], float]) -> Callable[[Step], Step]:
    """Return the modifier that shrinks the weights before the update; `g` is taken before."""

    def modifier(inner: Step) -> Step:
        def step(ws, gradient, state, t, *, setting, lr, **hypers):
            gs = gradient(ws)
            shrunk = [factor(lr, setting) * w for w in ws]
            return inner(shrunk, lambda _: gs, state, t, lr=lr, **hypers)

        return step

    return modifier


# Loshchilov & Hutter 2019 as PyTorch scales it, and the same without the rate
decoupled_weight_decay = _shrinking(lambda lr, decay: 1 - lr * decay)
fully_decoupled_weight_decay = _shrinking(lambda lr, decay: 1 - decay)


def cautious(inner: Step) -> Step:
    """Liang et al. 2024, arXiv:2411.16085: only what goes down the gradient, scaled up for it.

    The mask is over the whole update `w - w_new`; its mean, per tensor, is at least 1e-3.
    """

    def step(ws, gradient, state, t, **hypers):
        gs = gradient(ws)
        new = inner(ws, lambda _: gs, state, t, **hypers)
        kept = []
        for w, g, after in zip(ws, gs, new, strict=True):
            mask = ((w - after) * g > 0).astype(float)
            kept.append(w + (after - w) * mask / max(mask.mean(), 1e-3))
        return kept

    return step


def ema(inner: Step) -> Step:
    """Average the weights, `e = decay e + (1 - decay) w`, from the initial ones, in `state`."""

    def step(ws, gradient, state, t, *, setting, **hypers):
        old = state.get("ema", ws)
        new = inner(ws, gradient, state, t, **hypers)
        state["ema"] = [setting * e + (1 - setting) * w for e, w in zip(old, new, strict=True)]
        return new

    return step
