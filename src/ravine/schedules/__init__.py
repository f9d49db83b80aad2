"""Schedules: hyper-parameters by step, as pure functions."""

from ravine.schedules._schedules import SCHEDULES, Schedule, constant, cosine, get_schedule, linear

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "get_schedule", "linear"]
