"""Constant, linear and cosine schedules of the learning rate.

A schedule is a pure function ``(step, total, base) -> values``. Steps count from 0, as torch's
schedulers do; ``base`` maps hyper-parameters to numbers or arrays, of which the schedule returns
those that it changes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ravine.core.errors import unknown

Values = Mapping[str, Any]
Schedule = Callable[[Any, int, Values], dict[str, Any]]


def constant(step: Any, total: int, base: Values) -> dict[str, Any]:
    r"""Leave the learning rate as it is.

    .. math:: \eta_k = \eta

    >>> float(constant(3, 10, {"lr": 0.1})["lr"])
    0.1
    """
    return {"lr": base["lr"] * np.ones_like(step, dtype=float)[()]}


def linear(step: Any, total: int, base: Values) -> dict[str, Any]:
    r"""Lower the learning rate along a straight line, to 0 after the last step.

    .. math:: \eta_k = \eta (1 - k / T)

    Args:
        step: Steps made so far, ``k``, a number or an array.
        total: Number of steps, ``T``.
        base: Values at the start; ``lr`` is changed.

    Returns:
        The new ``lr``.

    >>> float(linear(5, 10, {"lr": 0.2})["lr"])
    0.1
    """
    return {"lr": base["lr"] * (1 - np.asarray(step) / total)}


def cosine(step: Any, total: int, base: Values) -> dict[str, Any]:
    r"""Lower the learning rate along half a cosine, to 0 after the last step.

    .. math:: \eta_k = \frac{\eta}{2} (1 + \cos(\pi k / T))

    Arguments and result as for `linear`. Source: Loshchilov & Hutter 2017, arXiv:1608.03983,
    equation 5, without restarts.

    >>> float(cosine(0, 10, {"lr": 0.2})["lr"])
    0.2
    """
    return {"lr": base["lr"] * 0.5 * (1 + np.cos(np.pi * np.asarray(step) / total))}


SCHEDULES: dict[str, Schedule] = {"constant": constant, "linear": linear, "cosine": cosine}


def get_schedule(name: str) -> Schedule:
    """Return a schedule by name.

    Raises:
        SettingError: When there is none of that name.
    """
    if str(name) not in SCHEDULES:
        raise unknown("schedule", str(name), SCHEDULES)
    return SCHEDULES[name]
