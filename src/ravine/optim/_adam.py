"""Adam and its relatives that torch has, with torch's arguments and defaults.

``foreach`` and ``fused`` choose between torch's own implementations of one formula. Ravine has
one, so both are accepted and change nothing. ``capturable`` is for parameters on a CUDA device,
with Triton installed; elsewhere, and for ``differentiable``, True is refused.
"""

from typing import Any, Unpack, final

import torch

from ravine.optim._arguments import settings
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._precision import Precision
from ravine.optim._torch_rules import Named, adam_rule


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
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        decoupled_weight_decay: Decay as in AdamW.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

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
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), adam_rule)


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
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

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
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()) | {"decoupled_weight_decay": True}, adam_rule)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # as in torch: a checkpoint of Adam may be loaded here
            group["decoupled_weight_decay"] = True


@final
class Adamax(RuleOptimizer):
    """Adamax: Adam with the decaying largest magnitude in place of the mean square.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and of the largest magnitude kept per step, in [0, 1).
        eps: Added to every magnitude, >= 0.
        weight_decay: Coupled decay, >= 0.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Adamax([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("adamax"))


@final
class NAdam(RuleOptimizer):
    """NAdam: Adam with Nesterov's look-ahead and a momentum schedule.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Decay, >= 0; coupled unless told.
        momentum_decay: How fast the momentum rises, >= 0.
        decoupled_weight_decay: Decay the weights and not the gradient.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = NAdam([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Dozat 2016, Incorporating Nesterov Momentum into Adam.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("nadam"))


@final
class RAdam(RuleOptimizer):
    """RAdam: Adam that adapts only once its mean square is reliable.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Decay, >= 0; coupled unless told.
        decoupled_weight_decay: Decay the weights and not the gradient.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = RAdam([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Liu et al. 2020, arXiv:1908.03265.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("radam"))
