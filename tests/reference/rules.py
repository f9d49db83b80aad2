"""The update rules in plain NumPy float64, one tensor at a time: what Ravine's kernels must equal.

Written from the formulas of the papers, of `torch.optim` (convention `torch`) and of the course
(convention `lecture`), with no import from Ravine. Hyper-parameters carry the names of their
convention: `momentum`, `alpha`, `rho` for torch, `gamma`, `beta` for the lecture, and
`beta1`, `beta2`, `eps` for both.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature

import numpy as np

State = dict[str, np.ndarray]
Update = Callable[..., np.ndarray]


def sgd(w, g, state, t, lr):
    """Return `w - lr g`."""
    return w - lr * g


def torch_momentum(w, g, state, t, lr, *, momentum=0.9, dampening=0.0):
    """Return `w - lr buf`, `buf = momentum buf + (1 - dampening) g`; the first `buf` is `g`."""
    return w - lr * _torch_buffer(g, state, t, momentum, dampening)


def torch_nesterov(w, g, state, t, lr, *, momentum=0.9):
    """Return `w - lr (g + momentum buf)`, `buf` as in `torch_momentum` without dampening."""
    return w - lr * (g + momentum * _torch_buffer(g, state, t, momentum, 0.0))


def _torch_buffer(g, state, t, momentum, dampening):
    state["buf"] = g if t == 1 else momentum * state["buf"] + (1 - dampening) * g
    return state["buf"]


def lecture_momentum(w, g, state, t, lr, *, gamma=0.9):
    """Return `w - v`, `v = gamma v + lr g`: the rate is inside the velocity."""
    state["v"] = gamma * _old(state, "v", g) + lr * g
    return w - state["v"]


def lecture_nesterov(w_temp, g, state, t, lr, *, gamma=0.9):
    """Return `w = w_temp - lr g`, then `v = gamma v + lr g`; `g` was taken at `w_temp`.

    `w_temp = w - gamma v` is what `Oracle.query` returns for this rule.
    """
    state["v"] = gamma * _old(state, "v", g) + lr * g
    return w_temp - lr * g


def adagrad(w, g, state, t, lr, *, lr_decay=0.0, eps=1e-10):
    """Return `w - lr / (1 + (t - 1) lr_decay) g / (sqrt(v) + eps)`, `v = v + g^2`."""
    state["v"] = _old(state, "v", g) + g**2
    return w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(state["v"]) + eps)


def adadelta(w, g, state, t, lr, *, rho=0.9, eps=1e-6):
    """Return `w - lr d`, `d = sqrt(u + eps) / sqrt(v + eps) g`, `u` and `v` averages of `d^2, g^2`.

    The rate stays outside `u`; at `lr = 1` this is Algorithm 1 of Zeiler 2012 (arXiv:1212.5701).
    """
    state["v"] = rho * _old(state, "v", g) + (1 - rho) * g**2
    d = np.sqrt(_old(state, "u", g) + eps) / np.sqrt(state["v"] + eps) * g
    state["u"] = rho * _old(state, "u", g) + (1 - rho) * d**2
    return w - lr * d


def torch_rmsprop(w, g, state, t, lr, *, alpha=0.99, eps=1e-8):
    """Return `w - lr g / (sqrt(v) + eps)`, `v = alpha v + (1 - alpha) g^2`."""
    state["v"] = alpha * _old(state, "v", g) + (1 - alpha) * g**2
    return w - lr * g / (np.sqrt(state["v"]) + eps)


def lecture_rmsprop(w, g, state, t, lr, *, beta=0.9, eps=1e-8):
    """Return torch's formula under the lecture's name and value of the decay."""
    return torch_rmsprop(w, g, state, t, lr, alpha=beta, eps=eps)


def adam(w, g, state, t, lr, *, beta1=0.9, beta2=0.999, eps=1e-8):
    """Return `w - lr m_hat / (sqrt(v_hat) + eps)`: Kingma & Ba 2015, Algorithm 1."""
    state["m"] = beta1 * _old(state, "m", g) + (1 - beta1) * g
    state["v"] = beta2 * _old(state, "v", g) + (1 - beta2) * g**2
    m_hat = state["m"] / (1 - beta1**t)
    v_hat = state["v"] / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps)


def _old(state, name, g):
    return state.get(name, np.zeros_like(g))


RULES: dict[str, dict[str, Update]] = {
    "torch": {
        "sgd": sgd,
        "momentum": torch_momentum,
        "nesterov": torch_nesterov,
        "adagrad": adagrad,
        "adadelta": adadelta,
        "rmsprop": torch_rmsprop,
        "adam": adam,
        "adamw": adam,
    },
    "lecture": {
        "sgd": sgd,
        "momentum": lecture_momentum,
        "nesterov": lecture_nesterov,
        "adagrad": partial(adagrad, eps=1e-8),
        "adadelta": adadelta,
        "rmsprop": lecture_rmsprop,
        "adam": adam,
        "adamw": adam,
    },
}


class Oracle:
    """One rule with its state over a list of tensors, stepped by `step`.

    Args:
        name: a rule of `RULES[convention]`.
        convention: `torch` or `lecture`.
        weight_decay: coupled, `g + weight_decay w`.
        decoupled: decoupled weight decay, `w (1 - lr decoupled)` before the update; None is
            AdamW's 1e-2 for `adamw` and 0 for every other rule.
        maximize: step along `+g`.
        clip: largest global norm of the gradient over all tensors; None for no clipping.
        **hypers: the rule's own hyper-parameters; the rate is given to `step`.
    """

    def __init__(
        self,
        name: str,
        convention: str = "torch",
        *,
        weight_decay: float = 0.0,
        decoupled: float | None = None,
        maximize: bool = False,
        clip: float | None = None,
        **hypers: float,
    ):
        rule = RULES[convention][name]
        signature(rule).bind(None, None, None, None, None, **hypers)  # unknown names fail here
        self._update = partial(rule, **hypers)
        self._weight_decay = weight_decay
        self._decoupled = (1e-2 if name == "adamw" else 0.0) if decoupled is None else decoupled
        self._maximize = maximize
        self._clip = clip
        # Only the lecture's literal two-step Nesterov takes its gradient away from w.
        self._look_ahead = hypers.get("gamma", 0.9) if rule is lecture_nesterov else 0.0
        self.t = 0
        self.state: list[State] = []

    def query(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the point at which `step` wants the gradient: `w`, or `w - gamma v`."""
        if not self._look_ahead or not self.state:
            return [w.copy() for w in weights]
        return [w - self._look_ahead * s["v"] for w, s in zip(weights, self.state, strict=True)]

    def step(
        self, weights: Sequence[np.ndarray], grads: Sequence[np.ndarray], lr: float
    ) -> list[np.ndarray]:
        """Return the weights after one step with gradients taken at `query(weights)`.

        Both decays act on the query point: that is the weight at which the penalty is felt.
        """
        points = self.query(weights)
        self.t += 1
        self.state = self.state or [{} for _ in weights]
        grads = list(grads) if self._clip is None else clipped(grads, self._clip)
        new = []
        for w, g, state in zip(points, grads, self.state, strict=True):
            descent = (-g if self._maximize else g) + self._weight_decay * w
            shrunk = w * (1 - lr * self._decoupled)
            new.append(self._update(shrunk, descent, state, self.t, lr))
        return new


def clipped(grads: Sequence[np.ndarray], largest: float) -> list[np.ndarray]:
    """Return gradients scaled by `min(1, largest / (norm + 1e-6))`, the norm over all tensors.

    The formula of `torch.nn.utils.clip_grad_norm_`, its 1e-6 included.
    """
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    return [g * min(1.0, largest / (norm + 1e-6)) for g in grads]
