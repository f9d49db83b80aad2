"""Cosine annealing with warm restarts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ravine.core.numbers import integer
from ravine.schedules._checks import Length, length, share, steps_of
from ravine.schedules._decay import half_cosine
from ravine.schedules._scaled import Scaled, Schedule, Steps


def cosine_restarts(first: Length, growth: int = 1, end: float = 0.0) -> Schedule:
    r"""Lower the learning rate along half a cosine, again and again from its base value.

    .. math:: \eta_k = \eta (e + (1 - e) (1 + \cos(\pi j / n_i)) / 2), \quad n_i = n g^i

    where step ``k`` is the ``j``-th of cycle ``i``, both from 0. Equal to torch's
    ``CosineAnnealingWarmRestarts(T_0=first, T_mult=growth, eta_min=end * lr)``.

    Args:
        first: Length of the first cycle, ``n``: steps, or a share of all steps.
        growth: How many times longer a cycle is than the one before, ``g``, an integer >= 1.
        end: Share of the base rate that a cycle falls to, ``e``, in [0, 1].

    Raises:
        SettingError: An argument is outside its bounds.

    >>> cosine_restarts(2, 2)([0, 1, 2, 4, 6], 20, {"lr": 1.0})["lr"].round(12).tolist()
    [1.0, 0.5, 1.0, 0.5, 1.0]

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (SGDR), equation 5.
    """
    settings = (length("first", first), integer("growth", growth, 1), share("end", end))
    return Scaled("restarts", _restarts, settings)


def _restarts(k: Steps, total: int, first: Length, growth: int, end: float) -> Any:
    size = steps_of(first, total)
    return end + (1 - end) * half_cosine(
        k % size / size if growth == 1 else _place(k, size, growth)
    )


def _place(k: Steps, first: int, growth: int) -> NDArray[np.float64]:
    """Return the share done of the cycle that each step lies in."""
    starts, sizes = [0], [first]
    # A table, since logarithms would miss the first steps of cycles by rounding.
    while starts[-1] + sizes[-1] <= k.max(initial=0):
        starts.append(starts[-1] + sizes[-1])
        sizes.append(sizes[-1] * growth)
    cycle = np.searchsorted(starts, k, side="right") - 1
    return (k - np.array(starts)[cycle]) / np.array(sizes)[cycle]
