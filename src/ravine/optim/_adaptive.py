"""Adagrad, Adadelta and RMSprop with torch's arguments and defaults.

``foreach`` and ``fused`` choose between torch's own implementations of one formula. Ravine has
one, so both are accepted and change nothing. ``capturable`` is for parameters on a CUDA device,
with Triton installed; elsewhere, and for ``differentiable``, True is refused.
"""

from typing import Any, Unpack, final

import torch

from ravine.optim._arguments import settings
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._precision import Precision
from ravine.optim._torch_rules import Named, rmsprop_rule


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
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

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
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("adagrad"))
        # As in torch, whose class steps only from a state that is there, loaded from here or not.
        for group in self.param_groups:
            self._begin(group)

    def share_memory(self) -> None:
        """Move the sums of squares into shared memory, for training by several processes.

        As in torch; the count of steps stays each process's own. States that are stored in
        another dtype are made at the first step: share them after it.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                for key, value in self.state[parameter].items():
                    if key != "step":
                        value.share_memory_()


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
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

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
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("adadelta"))


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
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

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
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), rmsprop_rule)
