"""The rules under torch's class names, with torch's arguments and defaults.

``foreach`` and ``fused`` choose between torch's own implementations of one formula. Ravine has
one, so both are accepted and change nothing. ``capturable`` and ``differentiable`` would change
what a step does: True is refused.
"""

from typing import Any, final

import torch

from ravine.core.errors import SettingError
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._torch_rules import (
    adadelta_rule,
    adagrad_rule,
    adam_rule,
    rmsprop_rule,
    sgd_rule,
    torch_hypers,
)


def _defaults(arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments.get("fused") and arguments.get("foreach"):
        raise SettingError("fused and foreach must not both be True; Ravine needs neither")
    left_out = ("self", "params", "__class__")
    return {name: value for name, value in arguments.items() if name not in left_out}


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
        super().__init__(params, _defaults(locals()), sgd_rule, torch_hypers, counted=False)


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
        super().__init__(params, _defaults(locals()), adagrad_rule, torch_hypers)


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
        super().__init__(params, _defaults(locals()), adadelta_rule, torch_hypers)


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
        super().__init__(params, _defaults(locals()), rmsprop_rule, torch_hypers)


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
        super().__init__(params, _defaults(locals()), adam_rule, torch_hypers)


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
            params, _defaults(locals()) | {"decoupled_weight_decay": True}, adam_rule, torch_hypers
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # as in torch: a checkpoint of Adam may be loaded here
            group["decoupled_weight_decay"] = True
