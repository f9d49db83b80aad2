"""The rules under torch's class names, with torch's arguments and defaults.

``foreach`` and ``fused`` choose between torch's own implementations of one formula. Ravine has
one, so both are accepted and change nothing. ``capturable`` and ``differentiable`` would change
what a step does: True is refused.
"""

from functools import lru_cache
from typing import Any, final

import torch

from ravine.core.errors import SettingError
from ravine.optim._optimizer import Group, RuleOptimizer
from ravine.rules import Rule, get_rule, modifiers


@lru_cache(maxsize=64)
def _composed(name: str, *modifications: str) -> Rule:
    # Kernels are cached by rule, so the same composition must be the same object.
    rule = get_rule(name)
    for modification in modifications:
        rule = getattr(modifiers, modification)(rule)
    return rule


def _modified(name: str, group: Group, decay: str = "weight_decay") -> Rule:
    chosen = [decay] if group["weight_decay"] != 0 else []
    return _composed(name, *chosen, *(["maximize"] if group["maximize"] else []))


def _hypers(group: Group, rule: Rule) -> dict[str, float]:
    """Return a group's values under the formula's names."""
    values = {}
    for name in rule.hypers:
        alias = rule.aliases.get(name, name)
        if alias.startswith("betas["):
            values[name] = float(group["betas"][int(alias[6])])
        else:
            values[name] = float(group[alias])
    return values


def _defaults(arguments: dict[str, Any]) -> dict[str, Any]:
    for name in ("capturable", "differentiable"):
        if arguments.get(name):
            raise SettingError(f"{name} must be False, got True; use torch.optim for it")
    if arguments.get("fused") and arguments.get("foreach"):
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    lr = arguments["lr"]
    if isinstance(lr, torch.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    left_out = ("self", "params", "__class__")
    return {name: value for name, value in arguments.items() if name not in left_out}


def _sgd_rule(group: Group) -> Rule:
    if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
        raise SettingError(
            "nesterov=True must come with momentum > 0 and dampening = 0, got"
            f" momentum={group['momentum']}, dampening={group['dampening']}"
        )
    name = "nesterov" if group["nesterov"] else "momentum" if group["momentum"] != 0 else "sgd"
    return _modified(name, group)


def _adagrad_rule(group: Group) -> Rule:
    return _modified("adagrad", group)


def _adadelta_rule(group: Group) -> Rule:
    return _modified("adadelta", group)


def _rmsprop_rule(group: Group) -> Rule:
    name = "rmsprop_centred" if group["centered"] else "rmsprop"
    return _modified(f"{name}_momentum" if group["momentum"] != 0 else name, group)


def _adam_rule(group: Group) -> Rule:
    decay = "decoupled_weight_decay" if group["decoupled_weight_decay"] else "weight_decay"
    return _modified("amsgrad" if group["amsgrad"] else "adam", group, decay)


@final
class SGD(RuleOptimizer):
    """Gradient descent, with momentum and Nesterov's look-ahead if asked for.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        momentum: Share of the velocity kept per step, >= 0; 0 is plain descent.
        dampening: Share of the gradient that does not enter the velocity, after the first step.
        weight_decay: Coupled decay, >= 0.
        nesterov: Look ahead along the velocity; needs momentum > 0 and no dampening.
        maximize: Ascend.
        foreach, fused: Accepted; they change nothing.
        differentiable: Must be False.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = SGD([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Robbins & Monro 1951; Polyak 1964; Sutskever et al. 2013.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, _defaults(locals()), _sgd_rule, _hypers)


@final
class Adagrad(RuleOptimizer):
    """AdaGrad: each weight's rate falls with the gradients it has seen.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        lr_decay: The rate is divided by ``1 + (t - 1) lr_decay``, >= 0.
        weight_decay: Coupled decay, >= 0.
        initial_accumulator_value: Start of the sum of squares, >= 0.
        eps: Added to the root, >= 0.
        foreach, fused: Accepted; they change nothing.
        maximize: Ascend.
        differentiable: Must be False.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Adagrad([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Duchi, Hazan & Singer 2011, JMLR 12:2121-2159.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, _defaults(locals()), _adagrad_rule, _hypers)


@final
class Adadelta(RuleOptimizer):
    """Adadelta: steps in the units of the weights.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Factor of each step, >= 0.
        rho: Share of the running means kept per step, in [0, 1].
        eps: Added under both roots, >= 0.
        weight_decay: Coupled decay, >= 0.
        foreach: Accepted; it changes nothing.
        capturable, differentiable: Must be False.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Adadelta([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Zeiler 2012, arXiv:1212.5701.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, _defaults(locals()), _adadelta_rule, _hypers)


@final
class RMSprop(RuleOptimizer):
    """RMSProp: the gradient divided by a running root mean square.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        alpha: Share of the mean square kept per step, >= 0.
        eps: Added to the root, >= 0.
        weight_decay: Coupled decay, >= 0.
        momentum: Share of the velocity kept per step, >= 0.
        centered: Divide by the standard deviation instead.
        capturable, differentiable: Must be False.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = RMSprop([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Tieleman & Hinton 2012, lecture 6.5; Graves 2013, arXiv:1308.0850.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, _defaults(locals()), _rmsprop_rule, _hypers)


@final
class Adam(RuleOptimizer):
    """Adam: momentum and RMSProp, both corrected for their start at zero.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Decay, >= 0; coupled unless told.
        amsgrad: Divide by the largest mean square so far.
        foreach, fused: Accepted; they change nothing.
        maximize: Ascend.
        capturable, differentiable: Must be False.
        decoupled_weight_decay: Decay as in AdamW.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Adam([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Kingma & Ba 2015, arXiv:1412.6980.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, _defaults(locals()), _adam_rule, _hypers)


@final
class AdamW(RuleOptimizer):
    """AdamW: Adam with decoupled weight decay.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Decoupled decay, >= 0.
        amsgrad: Divide by the largest mean square so far.
        maximize: Ascend.
        foreach, fused: Accepted; they change nothing.
        capturable, differentiable: Must be False.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = AdamW([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, _defaults(locals()) | {"decoupled_weight_decay": True}, _adam_rule, _hypers
        )
