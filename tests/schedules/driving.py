"""How torch's schedulers are driven, and the schedules that the tests run over."""

import numpy as np
import torch

from ravine.schedules import (
    constant,
    cosine,
    cosine_restarts,
    cosine_to,
    exponential_decay,
    inverse_time_decay,
    linear,
    linear_to,
    multi_step_decay,
    one_cycle,
    polynomial_decay,
    product,
    sequence,
    step_decay,
    warmup,
    warmup_stable_decay,
)

# One of every kind, none of whose numbers is a power of two.
EVERY_KIND = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "linear_to": linear_to(0.3),
    "cosine_to": cosine_to(0.07),
    "step": step_decay(7, 0.9),
    "multistep": multi_step_decay([0.1, 0.33, 0.9], 0.3),
    "exponential": exponential_decay(0.997),
    "inverse": inverse_time_decay(0.013),
    "polynomial": polynomial_decay(1.7),
    "warmup": warmup(0.3, 0.01),
    "restarts": cosine_restarts(11, 3, 0.05),
    "onecycle": one_cycle(0.37),
    "onecycle in lines": one_cycle(0.23, 0.1, 1e-3, "linear", 3, (0.8, 0.99)),
    "wsd": warmup_stable_decay(0.1, 0.3, "sqrt"),
    "sequence": sequence(warmup(13), constant, one_cycle(), at=[13, 60]),
    "product": product(warmup(13), step_decay(0.2, 0.7), cosine),
}


def sgd(lr, groups=1, **settings):
    """Return torch's SGD over groups of one weight, each at a tenth of the rate before."""
    weights = [torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(groups)]
    rates = [{"params": [w], "lr": lr / 10**i} for i, w in enumerate(weights)]
    return torch.optim.SGD(rates, **settings)


def rates_of(optimizer, scheduler, steps, value=lambda group: group["lr"]):
    """Return what a scheduler sets for steps 0..steps, the one after the last included."""
    seen = []
    for step in range(steps + 1):
        seen.append(float(value(optimizer.param_groups[0])))
        if step < steps:
            optimizer.step()
            scheduler.step()
    return np.array(seen)


def rates(schedule, steps, lr=1.0, **base):
    """Return the learning rates of steps 0..steps, asked for one by one."""
    return np.array([float(schedule(k, steps, {"lr": lr, **base})["lr"]) for k in range(steps + 1)])
