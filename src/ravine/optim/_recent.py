"""Elementwise rules that torch does not have, with their papers' settings in torch's style."""

from typing import Any, Unpack, final

import torch

from ravine.optim._arguments import settings
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._precision import Precision
from ravine.optim._torch_rules import Named


@final
class AdaBelief(RuleOptimizer):
    """AdaBelief: Adam divided by how far gradients are from their running mean.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and of the surprises kept per step, in [0, 1).
        eps: Added at every step and to the root, >= 0.
        weight_decay: Decay, >= 0; decoupled, as in the authors' package, unless told.
        decoupled_weight_decay: Decay the weights and not the gradient.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = AdaBelief([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Zhuang et al. 2020, arXiv:2010.07468.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = True,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("adabelief"))


@final
class Yogi(RuleOptimizer):
    """Yogi: Adam whose mean square moves by a share of the squared gradient.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Coupled decay, >= 0.
        initial_accumulator_value: Start of the mean square, >= 0.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Yogi([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Zaheer et al. 2018, Adaptive Methods for Nonconvex Optimization.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("yogi"))


@final
class Lion(RuleOptimizer):
    """Lion: move every weight by the rate, against the sign of a mixed momentum.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Share of the running mean in the sign, and kept per step, in [0, 1).
        weight_decay: Decoupled decay, >= 0.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Lion([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Chen et al. 2023, arXiv:2302.06675, Algorithm 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("lion", decay=None))


@final
class Adan(RuleOptimizer):
    """Adan: Nesterov's look-ahead through the change of the gradient.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean, mean change and mean square kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Decoupled decay, as a divisor ``1 + lr weight_decay``, >= 0.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Adan([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Xie et al. 2022, arXiv:2208.06677.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("adan", decay=None))


@final
class ADOPT(RuleOptimizer):
    """ADOPT: Adam that divides each gradient by the mean square before it.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Smallest divisor, > 0.
        weight_decay: Decay, >= 0; coupled, as in the authors' code, unless told.
        decoupled_weight_decay: Decay the weights and not the gradient.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = ADOPT([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("adopt"))


@final
class AdEMAMix(RuleOptimizer):
    """AdEMAMix: Adam with a second, much slower running mean.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the fast mean, mean square and slow mean kept per step, in [0, 1).
        alpha: Weight of the slow mean, >= 0.
        eps: Added to the root, >= 0.
        weight_decay: Decoupled decay, >= 0.
        warmup: Steps over which ``alpha`` and the slow share rise, >= 0; 0 for none.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = AdEMAMix([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137, Algorithm 1.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 5.0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup: float = 0.0,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("ademamix", "decoupled_weight_decay"))
