"""Schedules: hyper-parameters by step, as pure functions."""

from ravine.schedules._compose import product, sequence
from ravine.schedules._decay import (
    constant,
    cosine,
    cosine_to,
    exponential_decay,
    inverse_time_decay,
    linear,
    linear_to,
    multi_step_decay,
    polynomial_decay,
    step_decay,
)
from ravine.schedules._momentum import named_momentum
from ravine.schedules._notation import get_schedule, schedule_names
from ravine.schedules._one_cycle import one_cycle
from ravine.schedules._plateau import ReduceOnPlateau
from ravine.schedules._restarts import cosine_restarts
from ravine.schedules._scaled import Schedule, describe
from ravine.schedules._torch import TorchSchedule
from ravine.schedules._warmup import warmup, warmup_stable_decay

__all__ = [
    "ReduceOnPlateau",
    "Schedule",
    "TorchSchedule",
    "constant",
    "cosine",
    "cosine_restarts",
    "cosine_to",
    "describe",
    "exponential_decay",
    "get_schedule",
    "inverse_time_decay",
    "linear",
    "linear_to",
    "multi_step_decay",
    "named_momentum",
    "one_cycle",
    "polynomial_decay",
    "product",
    "schedule_names",
    "sequence",
    "step_decay",
    "warmup",
    "warmup_stable_decay",
]
