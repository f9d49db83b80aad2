"""Rules that need no schedule or no learning rate, with their authors' settings."""

from typing import Any, Unpack, final

import torch

from ravine.optim._arguments import settings
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._precision import Precision
from ravine.optim._torch_rules import Named
from ravine.rules import get_rule

UNLIMITED = get_rule("prodigy").hypers["growth_rate"]


@final
class ScheduleFreeSGD(RuleOptimizer):
    """Schedule-Free descent: an average of iterates in place of a schedule.

    Gradients are taken at one point and another is evaluated: evaluate inside `readout`.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Rate, >= 0, kept constant by the user.
        momentum: Share of the average in the point of the gradient, in (0, 1).
        weight_decay: Decay at the point of the gradient, >= 0.
        warmup_steps: Steps over which the rate rises, >= 0.
        r: Power of the step's number in its weight in the mean.
        weight_lr_power: Power of the rate in a step's weight.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = ScheduleFreeSGD([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Defazio et al. 2024, arXiv:2405.15682.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("schedule_free_sgd", decay=None))


@final
class ScheduleFreeAdamW(RuleOptimizer):
    """Schedule-Free AdamW: an average of iterates in place of a schedule.

    Gradients are taken at one point and another is evaluated: evaluate inside `readout`.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Rate, >= 0, kept constant by the user.
        betas: Share of the average in the point of the gradient, in (0, 1), and of the mean
            square kept per step.
        eps: Added to the root, >= 0.
        weight_decay: Decay at the point of the gradient, >= 0.
        warmup_steps: Steps over which the rate rises, >= 0.
        r: Power of the step's number in its weight in the mean.
        weight_lr_power: Power of the rate in a step's weight.
        maximize: Ascend.
        **precision: ``state_dtype`` ("float32", "bfloat16", "int8"), ``param_rounding`` ("nearest",
            "stochastic", "kahan") and ``rounding_seed``: how states and weights are stored.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = ScheduleFreeAdamW([weight], lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Defazio et al. 2024, arXiv:2405.15682, Algorithm 1.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        **precision: Unpack[Precision],
    ) -> None:
        super().__init__(params, settings(locals()), Named("schedule_free_adamw", decay=None))


@final
class DAdaptSGD(RuleOptimizer):
    """D-Adaptation of gradient descent: the rate from an estimate of the distance to go.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Factor of the estimated rate, >= 0; a schedule may change it.
        momentum: Share of the iterate kept per step, in [0, 1).
        weight_decay: Coupled decay, >= 0.
        d0: First estimate of the distance, > 0.
        growth_rate: Largest factor by which the estimate grows in a step, >= 1.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = DAdaptSGD([weight])
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Defazio & Mishchenko 2023, arXiv:2301.07733.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1.0,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        d0: float = 1e-6,
        growth_rate: float = UNLIMITED,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()), Named("dadapt_sgd", decay=None))


@final
class DAdaptAdam(RuleOptimizer):
    """D-Adaptation of Adam: the rate from an estimate of the distance to go.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Factor of the estimated rate, >= 0; a schedule may change it.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        eps: Added to the root, > 0.
        weight_decay: Coupled decay, >= 0.
        d0: First estimate of the distance, > 0.
        growth_rate: Largest factor by which the estimate grows in a step, >= 1.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = DAdaptAdam([weight])
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Defazio & Mishchenko 2023, arXiv:2301.07733.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        d0: float = 1e-6,
        growth_rate: float = UNLIMITED,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()), Named("dadapt_adam"))


@final
class Prodigy(RuleOptimizer):
    """Prodigy: Adam at a rate estimated from the distance to go.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Factor of the estimated rate, >= 0; a schedule may change it.
        betas: Shares of the running mean and mean square kept per step, in [0, 1).
        beta3: Share of the estimate's sums kept per step, in [0, 1); 0 for the root of
            ``betas[1]``.
        eps: Added to the root, in units of the rate, > 0.
        weight_decay: Decoupled decay, >= 0.
        d0: First estimate of the distance, > 0.
        d_coef: Factor of the estimate, > 0.
        growth_rate: Largest factor by which the estimate grows in a step, >= 1.
        maximize: Ascend.

    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = Prodigy([weight])
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Mishchenko & Defazio 2024, arXiv:2306.06101.
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float = 0.0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        growth_rate: float = UNLIMITED,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()), Named("prodigy", decay=None))
