"""Modifiers: functions from rule to rule, traced into the same kernel as the rule itself.

Order matters and is the caller's: the modifier applied last acts first on the gradient, so
``clip_global_norm(weight_decay(adam))`` clips the raw gradient and then adds the decay.
"""

from typing import Any

from ravine.rules._rule import Rule
from ravine.rules._vocabulary import minimum, norm


def weight_decay(rule: Rule) -> Rule:
    r"""Add coupled weight decay.

    .. math:: g \leftarrow g + \lambda w

    This is torch's ``weight_decay``; the gradient of :math:`\lambda \sum w^2` is twice that.
    """
    inner = rule.function

    def step(w: Any, g: Any, *state: Any, weight_decay: Any, **numbers: Any) -> Any:
        return inner(w, g + weight_decay * w, *state, **numbers)

    return rule.with_hypers(step, weight_decay=(0.0, "[0, inf)"))


def decoupled_weight_decay(rule: Rule) -> Rule:
    r"""Add decoupled weight decay, scaled by the learning rate.

    .. math:: w \leftarrow (1 - \eta \lambda) w

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, as PyTorch scales it.
    """
    inner = rule.function

    def step(w: Any, g: Any, *state: Any, lr: Any, weight_decay: Any, **numbers: Any) -> Any:
        return inner(w * (1 - lr * weight_decay), g, *state, lr=lr, **numbers)

    return rule.with_hypers(step, weight_decay=(1e-2, "[0, inf)"))


def clip_global_norm(rule: Rule) -> Rule:
    r"""Clip the gradient of all tensors together.

    .. math:: g \leftarrow g \min(1, c / (\lVert g \rVert + 10^{-6}))

    The norm is taken over every tensor of the model (of the member, in a population). The 1e-6
    is that of ``torch.nn.utils.clip_grad_norm_``, against division by zero.
    Source: Pascanu et al. 2013, arXiv:1211.5063.
    """
    inner = rule.function

    def step(w: Any, g: Any, *state: Any, max_norm: Any, **numbers: Any) -> Any:
        factor = minimum(1.0, max_norm / (norm(g, over="member") + 1e-6))
        return inner(w, g * factor, *state, **numbers)

    return rule.with_hypers(step, max_norm=(1.0, "(0, inf)"))


def maximize(rule: Rule) -> Rule:
    r"""Ascend instead of descending.

    .. math:: g \leftarrow -g
    """
    inner = rule.function

    def step(w: Any, g: Any, *state: Any, **numbers: Any) -> Any:
        return inner(w, -g, *state, **numbers)

    return rule.with_hypers(step)
