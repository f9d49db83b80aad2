"""Modifiers: functions from rule to rule, traced into the same kernel as the rule itself.

Order matters and is the caller's: the modifier applied last acts first on the gradient, so
``clip_global_norm(weight_decay(adam))`` clips the raw gradient and then adds the decay.
"""

from dataclasses import replace
from typing import Any

from ravine.core.errors import SettingError
from ravine.rules._as_rule import as_rule
from ravine.rules._rule import Rule
from ravine.rules._vocabulary import floor, maximum, mean, minimum, norm, where


def weight_decay(rule: Rule) -> Rule:
    r"""Add coupled weight decay.

    .. math:: g \leftarrow g + \lambda w

    This is torch's ``weight_decay``; the gradient of :math:`\lambda \sum w^2` is twice that.
    """
    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, weight_decay: Any, **numbers: Any) -> Any:
        return inner(w, g + weight_decay * w, *kept, **numbers)

    return rule.wrapped(step, weight_decay=(0.0, "[0, inf)"))


def decoupled_weight_decay(rule: Rule) -> Rule:
    r"""Add decoupled weight decay, scaled by the learning rate.

    .. math:: w \leftarrow (1 - \eta \lambda) w

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, as PyTorch scales it.
    """
    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, lr: Any, weight_decay: Any, **numbers: Any) -> Any:
        return inner(w * (1 - lr * weight_decay), g, *kept, lr=lr, **numbers)

    return rule.wrapped(step, weight_decay=(1e-2, "[0, inf)"))


def fully_decoupled_weight_decay(rule: Rule) -> Rule:
    r"""Add weight decay that the learning rate does not touch.

    .. math:: w \leftarrow (1 - \lambda) w

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2, at a constant schedule.
    """
    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, weight_decay: Any, **numbers: Any) -> Any:
        return inner(w * (1 - weight_decay), g, *kept, **numbers)

    return rule.wrapped(step, weight_decay=(1e-5, "[0, 1]"))


def clip_value(rule: Rule) -> Rule:
    r"""Clip every entry of the gradient.

    .. math:: g \leftarrow \min(\max(g, -c), c)

    As ``torch.nn.utils.clip_grad_value_``.
    """
    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, max_value: Any, **numbers: Any) -> Any:
        return inner(w, minimum(maximum(g, -max_value), max_value), *kept, **numbers)

    return rule.wrapped(step, max_value=(1.0, "(0, inf)"))


def clip_norm(rule: Rule) -> Rule:
    r"""Clip the gradient of each tensor by its own norm.

    .. math:: g \leftarrow g \min(1, c / (\lVert g \rVert_{\mathrm{tensor}} + 10^{-6}))

    Source: Pascanu et al. 2013, arXiv:1211.5063, one tensor at a time.
    """
    return _clipped(rule, "tensor")


def clip_global_norm(rule: Rule) -> Rule:
    r"""Clip the gradient of all tensors together.

    .. math:: g \leftarrow g \min(1, c / (\lVert g \rVert + 10^{-6}))

    The norm is taken over every tensor of the model (of the member, in a population). The 1e-6
    is that of ``torch.nn.utils.clip_grad_norm_``, against division by zero.
    Source: Pascanu et al. 2013, arXiv:1211.5063.
    """
    return _clipped(rule, "member")


def _clipped(rule: Rule, over: str) -> Rule:
    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, max_norm: Any, **numbers: Any) -> Any:
        factor = minimum(1.0, max_norm / (norm(g, over=over) + 1e-6))
        return inner(w, g * factor, *kept, **numbers)

    return rule.wrapped(step, max_norm=(1.0, "(0, inf)"))


def centralise(rule: Rule) -> Rule:
    r"""Take its mean off the gradient of every output channel.

    .. math:: g_i \leftarrow g_i - \mathrm{mean}(g_i)

    A channel is a slice along the first dimension. Tensors of fewer than two dimensions, biases
    among them, keep their gradient. Source: Yong et al. 2020, arXiv:2004.01461, equation 1.
    """
    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, **numbers: Any) -> Any:
        return inner(w, g - mean(g, over="channel"), *kept, **numbers)

    return rule.wrapped(step)


def cautious(rule: Rule) -> Rule:
    r"""Leave out the entries of the update that point against the gradient.

    .. math:: w_t = w_{t-1} + \frac{\phi}{\max(\mathrm{mean}(\phi), 10^{-3})} (w'_t - w_{t-1}),
        \quad \phi = 1[(w_{t-1} - w'_t) g > 0]

    where :math:`w'_t` is the rule's own step. The mean is over each tensor. Decay that is to act
    everywhere is added around this modifier. Source: Liang et al. 2024, arXiv:2411.16085,
    Algorithm 1; its code bounds the mean by 1e-3, which is done here.

    Raises:
        SettingError: When the rule evaluates other weights than it stores, or maximises.
    """
    _refuse_two_views(rule, "cautious")
    if rule.maximizes:
        raise SettingError(f"cautious must be inside maximize: maximize(cautious({rule.name}))")
    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, **numbers: Any) -> Any:
        new, *rest = inner(w, g, *kept, **numbers)
        update = new - w
        agrees = where(update * g < 0, 1.0, 0.0)
        share = maximum(mean(agrees, over="tensor"), 1e-3)
        return w + update * (agrees / share), *rest

    return rule.wrapped(step)


def ema(rule: Rule) -> Rule:
    r"""Keep a running mean of the weights, which is what is evaluated.

    .. math:: \bar{w}_t = \beta \bar{w}_{t-1} + (1 - \beta) w_t, \quad \bar{w}_0 = w_0

    Source: Polyak & Juditsky 1992, doi:10.1137/0330046, with a running mean for the average.
    """
    inner, states = as_rule(rule).function, len(rule.state)

    def step(w: Any, g: Any, *kept: Any, ema_decay: Any, t: Any, **numbers: Any) -> Any:
        own, average, scalars = kept[:states], kept[states], kept[states + 1 :]
        new = inner(w, g, *own, *scalars, t=t, **numbers)
        evaluated = rule.readout(*new, t=t, **numbers) if rule.readout else new[0]
        average = ema_decay * average + (1 - ema_decay) * evaluated
        return *new[: states + 1], average, *new[states + 1 :]

    def readout(w: Any, *kept: Any, **_: Any) -> Any:
        return kept[states]

    return rule.wrapped(step, state={"average": "w"}, readout=readout, ema_decay=(0.999, "[0, 1]"))


def lookahead(rule: Rule) -> Rule:
    r"""Every few steps, go back part of the way that the weights have come.

    .. math:: \phi_t = \phi_{t-1} + \alpha (w'_t - \phi_{t-1}), \quad w_t = \phi_t

    at every ``sync``-th step; at the others :math:`w_t = w'_t`, the rule's own step. The slow
    weights :math:`\phi` are what is evaluated. The rule's states are kept as they are.
    Source: Zhang et al. 2019, arXiv:1907.08610, Algorithm 1.

    Raises:
        SettingError: When the rule evaluates other weights than it stores.
    """
    _refuse_two_views(rule, "lookahead")
    inner, states = as_rule(rule).function, len(rule.state)

    def step(w: Any, g: Any, *kept: Any, alpha: Any, sync: Any, t: Any, **numbers: Any) -> Any:
        own, slow, scalars = kept[:states], kept[states], kept[states + 1 :]
        fast, *rest = inner(w, g, *own, *scalars, t=t, **numbers)
        synchronises = t - sync * floor(t / sync) < 0.5
        slow = where(synchronises, slow + alpha * (fast - slow), slow)
        fast = where(synchronises, slow, fast)
        return fast, *rest[:states], slow, *rest[states:]

    def readout(w: Any, *kept: Any, **_: Any) -> Any:
        return kept[states]

    return rule.wrapped(
        step,
        state={"slow": "w"},
        readout=readout,
        aliases={"sync": "k"},
        alpha=(0.5, "(0, 1]"),
        sync=(5.0, "[1, inf)"),
    )


def sam(rule: Rule) -> Rule:
    r"""Take the gradient where the loss is worst nearby (sharpness-aware minimisation).

    .. math:: w_t = \mathrm{rule}(w_{t-1}, \nabla L(w_{t-1} + \rho g / \lVert g \rVert))

    The norm is over all tensors of the model; 1e-12 against division by zero, as in the authors'
    code. Source: Foret et al. 2021, arXiv:2010.01412, Algorithm 1, with p = 2.
    """
    # Away from where the rule goes: downhill for one that climbs.
    away = -1.0 if as_rule(rule).maximizes else 1.0

    def ascent(w: Any, g: Any, *, rho: Any, **_: Any) -> Any:
        return w + g * (away * rho / (norm(g, over="member") + 1e-12))

    inner = as_rule(rule).function

    def step(w: Any, g: Any, *kept: Any, rho: Any, **numbers: Any) -> Any:
        return inner(w, g, *kept, **numbers)

    return rule.wrapped(step, ascent=ascent, rho=(0.05, "[0, inf)"))


def maximize(rule: Rule) -> Rule:
    r"""Ascend instead of descending.

    .. math:: g \leftarrow -g

    Where a second gradient is taken, it is taken where the objective is lowest nearby.
    """
    inner, climb = as_rule(rule).function, rule.ascent

    def step(w: Any, g: Any, *kept: Any, **numbers: Any) -> Any:
        return inner(w, -g, *kept, **numbers)

    def ascent(w: Any, g: Any, **numbers: Any) -> Any:
        assert climb is not None
        return climb(w, -g, **numbers)

    turned = rule.wrapped(step, ascent=None if climb is None else ascent)
    return replace(turned, maximizes=not rule.maximizes)


def _refuse_two_views(rule: Rule, name: str) -> None:
    """Refuse a rule whose states follow its own step, which the modifier would change behind it."""
    if as_rule(rule).readout is not None:
        raise SettingError(
            f"{name} cannot go around {rule.name}, whose evaluated weights follow its own steps;"
            f" put {name} inside, or use another rule"
        )
