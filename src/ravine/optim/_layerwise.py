"""Rules that scale a step to each layer, with their papers' settings in torch's style."""

from typing import Any, final

import torch

from ravine.optim._arguments import settings
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._torch_rules import Named, lars_rule


@final
class NovoGrad(RuleOptimizer):
    """NovoGrad: momentum over gradients divided by a running norm of their layer.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the velocity and of the squared norm kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Decay inside the velocity, >= 0.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = NovoGrad([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Ginsburg et al. 2019, arXiv:1905.11286.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-2,
        betas: tuple[float, float] = (0.95, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()), Named("novograd", decay=None))


@final
class LARS(RuleOptimizer):
    """LARS: momentum over steps scaled to the size of each layer's weights.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        momentum: Share of the velocity kept per step, in [0, 1).
        trust_coefficient: Step relative to the weights, > 0.
        weight_decay: Decay inside the scaled step, >= 0.
        nesterov: Look ahead along the velocity.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = LARS([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: You, Gitman & Ginsburg 2017, arXiv:1708.03888.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1.0,
        momentum: float = 0.9,
        trust_coefficient: float = 1e-3,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()), lars_rule)


@final
class LAMB(RuleOptimizer):
    """LAMB: Adam's update scaled to the size of each layer's weights.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate, >= 0.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Added to the root, >= 0.
        weight_decay: Decay inside the scaled update, >= 0.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = LAMB([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: You et al. 2020, arXiv:1904.00962, Algorithm 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()), Named("lamb", decay=None))
