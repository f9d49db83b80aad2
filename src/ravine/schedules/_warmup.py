"""Linear warm-up, alone and before a stable rate that decays at the end."""

from typing import Any

import numpy as np

from ravine.core.errors import SettingError
from ravine.schedules._checks import Length, length, one_of, positive, steps_of
from ravine.schedules._scaled import Scaled, Schedule, Steps


def warmup(steps: Length, start: float | None = None) -> Schedule:
    r"""Raise the learning rate along a straight line to its base value, where it stays.

    .. math:: \eta_k = \eta (s + (1 - s) \min(k, n) / n)

    Equal to torch's ``LinearLR(start, 1.0, total_iters=steps)``.

    Args:
        steps: ``n``: steps, or a share of all steps.
        start: Share of the base rate at the first step, ``s``, in (0, 1]; None: ``1 / n``, so that
            no step is lost at rate 0.

    Raises:
        SettingError: An argument is outside its bounds.

    >>> warmup(4)([0, 1, 4, 9], 10, {"lr": 1.0})["lr"].tolist()
    [0.25, 0.4375, 1.0, 1.0]

    Source: Goyal et al. 2017, arXiv:1706.02677, section 2.2, gradual warmup.
    """
    first = () if start is None else (positive("start", start, 1.0),)
    return Scaled("warmup", _warmup, (length("steps", steps), *first))


def warmup_stable_decay(
    warmup: Length = 0.01, decay: Length = 0.2, shape: str = "linear"
) -> Schedule:
    r"""Warm up, keep the learning rate, and lower it to 0 over the last steps.

    .. math:: \eta_k = \eta \min\left(\frac{1}{n} + \left(1 - \frac{1}{n}\right) \frac{k}{n}, 1,
        f\left(\frac{k - (T - d)}{d}\right)\right)

    with :math:`f(x) = 1 - x` (linear) or :math:`1 - \sqrt{x}` (sqrt) for :math:`x > 0`, else 1. In
    torch: ``SequentialLR`` of ``LinearLR(1 / n, 1.0, n)``, ``ConstantLR(factor=1.0)`` and
    ``LinearLR(1.0, 0.0, d)``, for the linear shape.

    Args:
        warmup: ``n``: steps, or a share of all steps.
        decay: ``d``: steps, or a share of all steps.
        shape: ``"linear"`` or ``"sqrt"``.

    Raises:
        SettingError: An argument is outside its bounds; when called, warm-up and decay together
            are longer than the run.

    >>> warmup_stable_decay(2, 4)([0, 2, 6, 8, 10], 10, {"lr": 1.0})["lr"].tolist()
    [0.5, 1.0, 1.0, 0.5, 0.0]

    Source: Hu et al. 2024, arXiv:2404.06395 (MiniCPM), section 4, whose decay is exponential;
    the shapes here are those of Hägele et al. 2024, arXiv:2405.18392, section 3.
    """
    pieces = (length("warmup", warmup), length("decay", decay))
    return Scaled("wsd", _wsd, (*pieces, one_of("shape", shape, ("linear", "sqrt"))))


def _warmup(k: Steps, total: int, steps: Length, start: float | None = None) -> Any:
    count = steps_of(steps, total)
    first = 1 / count if start is None else start
    return first + (1 - first) * (np.minimum(k, count) / count)


def _wsd(k: Steps, total: int, warmup: Length, decay: Length, shape: str) -> Any:
    rise, fall = steps_of(warmup, total), steps_of(decay, total)
    if rise + fall > total:
        raise SettingError(
            f"warmup and decay must be no longer than the run of {total} steps together, got"
            f" {rise} + {fall} steps; give shares, such as wsd:0.1:0.2"
        )
    done = np.clip((k - (total - fall)) / fall, 0, 1)
    return _warmup(k, total, rise) * (1 - (done if shape == "linear" else np.sqrt(done)))
