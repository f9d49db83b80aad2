"""Gradient descent and its relatives under torch's names, with torch's arguments and defaults.

``foreach`` and ``fused`` choose between torch's own implementations of one formula. Ravine has
one, so both are accepted and change nothing. ``capturable`` is for parameters on a CUDA device,
with Triton installed; elsewhere, and for ``differentiable``, True is refused.
"""

from typing import Any, Unpack, final

import torch

from ravine.optim._arguments import settings
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._precision import Precision
from ravine.optim._torch_rules import Named, sgd_rule, signsgd_rule


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
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

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
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), sgd_rule, counted=False)


@final
class ASGD(RuleOptimizer):
    """Averaged gradient descent: a falling rate, and the mean of the iterates after `t0` steps.

    The mean is what `readout` holds; torch keeps it in the state as ``ax``, too.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        lambd: Decay of weights and rate, >= 0.
        alpha: Power of the rate's fall, >= 0.
        t0: Step after which iterates are averaged, >= 0.
        weight_decay: Coupled decay, >= 0.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = ASGD([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Polyak & Juditsky 1992, doi:10.1137/0330046.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("asgd"))


@final
class SignSGD(RuleOptimizer):
    """Move every weight by the rate, against the sign of its gradient.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        momentum: Share of the running mean kept per step, in [0, 1); 0 takes the gradient itself.
        weight_decay: Decoupled decay, >= 0.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = SignSGD([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Bernstein et al. 2018, arXiv:1802.04434, Algorithms 1 and 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-4,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), signsgd_rule)


@final
class Rprop(RuleOptimizer):
    """Rprop: a step size per weight, grown while its gradient keeps its sign.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: First step size, >= 0.
        etas: Factors where the sign turns, in (0, 1), and where it stays, > 1.
        step_sizes: Smallest and largest step size.
        capturable: True only for CUDA parameters with Triton installed.
        differentiable: Must be False.
        foreach: Accepted; it changes nothing.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Rprop([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Riedmiller & Braun 1993, doi:10.1109/ICNN.1993.298623; Igel & Hüsken 2000.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("rprop"))
