"""Schedules of one piece that lower the learning rate, most of them torch's."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ravine.core.errors import SettingError
from ravine.schedules._checks import Length, length, lengths, positive, share, steps_of
from ravine.schedules._scaled import Scaled, Schedule, Steps, Values


def constant(step: Any, total: int, base: Values) -> dict[str, Any]:
    r"""Leave the learning rate as it is.

    .. math:: \eta_k = \eta

    Arguments and result as for `linear`.

    >>> float(constant(3, 10, {"lr": 0.1})["lr"])
    0.1
    """
    return Scaled("constant", _constant)(step, total, base)


def linear(step: Any, total: int, base: Values) -> dict[str, Any]:
    r"""Lower the learning rate along a straight line, to 0 after the last step.

    .. math:: \eta_k = \eta (1 - k / T)

    Args:
        step: Steps made so far, ``k``, a number or an array.
        total: Number of steps, ``T``, >= 1.
        base: Values at the start, numbers or arrays; ``lr`` is changed.

    Returns:
        The new ``lr``, in the shape that step and base broadcast to.

    >>> float(linear(5, 10, {"lr": 0.2})["lr"])
    0.1
    """
    return linear_to(0.0)(step, total, base)


def cosine(step: Any, total: int, base: Values) -> dict[str, Any]:
    r"""Lower the learning rate along half a cosine, to 0 after the last step.

    .. math:: \eta_k = \frac{\eta}{2} (1 + \cos(\pi k / T))

    Arguments and result as for `linear`. Source: Loshchilov & Hutter 2017, arXiv:1608.03983,
    equation 5, without restarts.

    >>> float(cosine(0, 10, {"lr": 0.2})["lr"])
    0.2
    """
    return cosine_to(0.0)(step, total, base)


def linear_to(end: float) -> Schedule:
    r"""Lower the learning rate along a straight line, to a share of it after the last step.

    .. math:: \eta_k = \eta (1 - (1 - e) k / T)

    Equal to torch's ``LinearLR(1.0, end, total_iters=total)``.

    Args:
        end: Share of the base rate at the end, ``e``, in [0, 1].

    Raises:
        SettingError: The share is outside.

    >>> float(linear_to(0.1)(10, 10, {"lr": 2.0})["lr"])
    0.2
    """
    return Scaled("linear", _linear, (share("end", end),))


def cosine_to(end: float) -> Schedule:
    r"""Lower the learning rate along half a cosine, to a share of it after the last step.

    .. math:: \eta_k = \eta (e + (1 - e) (1 + \cos(\pi k / T)) / 2)

    Equal to torch's ``CosineAnnealingLR(T_max=total, eta_min=end * lr)``.

    Args:
        end: Share of the base rate at the end, ``e``, in [0, 1].

    Raises:
        SettingError: The share is outside.

    >>> float(cosine_to(0.1)(10, 10, {"lr": 2.0})["lr"])
    0.2

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5.
    """
    return Scaled("cosine", _cosine, (share("end", end),))


def step_decay(every: Length, factor: float = 0.1) -> Schedule:
    r"""Multiply the learning rate by a factor after every so many steps.

    .. math:: \eta_k = \eta f^{\lfloor k / n \rfloor}

    Equal to torch's ``StepLR(step_size=every, gamma=factor)``.

    Args:
        every: ``n``: steps, or a share of all steps.
        factor: ``f``, > 0.

    Raises:
        SettingError: An argument is outside its bounds.

    >>> step_decay(30, 0.5)([29, 30, 60], 100, {"lr": 1.0})["lr"].tolist()
    [1.0, 0.5, 0.25]
    """
    return Scaled("step", _step, (length("every", every), positive("factor", factor)))


def multi_step_decay(at: Sequence[Length], factor: float = 0.1) -> Schedule:
    r"""Multiply the learning rate by a factor at given steps.

    .. math:: \eta_k = \eta f^{|\{ m : m \le k \}|}

    Equal to torch's ``MultiStepLR(milestones=at, gamma=factor)``.

    Args:
        at: The milestones ``m``, rising: steps, or shares of all steps.
        factor: ``f``, > 0.

    Raises:
        SettingError: An argument is outside its bounds.

    >>> multi_step_decay([0.5, 0.75])([49, 50, 75], 100, {"lr": 100.0})["lr"].tolist()
    [100.0, 10.0, 1.0]
    """
    marks = lengths("at", at)
    if len({type(mark) for mark in marks}) > 1 or list(marks) != sorted(set(marks)):
        raise SettingError(
            f"at must rise, all in steps or all in shares, got {list(marks)};"
            " write [30, 60] or [0.3, 0.6]"
        )
    return Scaled("multistep", _multi_step, (marks, positive("factor", factor)))


def exponential_decay(factor: float) -> Schedule:
    r"""Multiply the learning rate by a factor after every step.

    .. math:: \eta_k = \eta f^k

    Equal to torch's ``ExponentialLR(gamma=factor)``.

    Args:
        factor: ``f``, > 0, usually a little less than 1.

    Raises:
        SettingError: The factor is not positive.

    >>> float(exponential_decay(0.5)(3, 10, {"lr": 1.0})["lr"])
    0.125
    """
    return Scaled("exponential", _exponential, (positive("factor", factor),))


def inverse_time_decay(rate: float) -> Schedule:
    r"""Divide the learning rate by a number that grows with the steps.

    .. math:: \eta_k = \eta / (1 + c k)

    In torch: ``LambdaLR(lambda k: 1 / (1 + rate * k))``. These rates sum to infinity and their
    squares do not, which is what stochastic descent needs to converge.

    Args:
        rate: ``c``, per step, > 0.

    Raises:
        SettingError: The rate is not positive.

    >>> float(inverse_time_decay(0.5)(2, 10, {"lr": 1.0})["lr"])
    0.5

    Source: Robbins & Monro 1951, Annals of Mathematical Statistics 22:400-407.
    """
    return Scaled("inverse", _inverse, (positive("rate", rate),))


def polynomial_decay(power: float = 1.0) -> Schedule:
    r"""Lower the learning rate to 0 after the last step, along a power of the steps left.

    .. math:: \eta_k = \eta (1 - k / T)^p

    Equal to torch's ``PolynomialLR(total_iters=total, power=power)``.

    Args:
        power: ``p``, > 0.

    Raises:
        SettingError: The power is not positive.

    >>> float(polynomial_decay(2)(5, 10, {"lr": 1.0})["lr"])
    0.25
    """
    return Scaled("polynomial", _polynomial, (positive("power", power),))


def _constant(k: Steps, total: int) -> Any:
    return np.ones_like(k)[()]


def _linear(k: Steps, total: int, end: float) -> Any:
    return end + (1 - end) * (1 - _done(k, total))


def _cosine(k: Steps, total: int, end: float) -> Any:
    return end + (1 - end) * half_cosine(_done(k, total))


def _step(k: Steps, total: int, every: Length, factor: float) -> Any:
    return np.power(factor, k // steps_of(every, total))


def _multi_step(k: Steps, total: int, at: tuple[Length, ...], factor: float) -> Any:
    marks = [steps_of(mark, total) for mark in at]
    return np.power(factor, np.searchsorted(marks, k, side="right").astype(float))


def _exponential(k: Steps, total: int, factor: float) -> Any:
    return np.power(factor, k)


def _inverse(k: Steps, total: int, rate: float) -> Any:
    return 1 / (1 + rate * k)


def _polynomial(k: Steps, total: int, power: float) -> Any:
    return np.power(1 - _done(k, total), power)


def _done(k: Steps, total: int) -> Any:
    """Return the share of the steps made; it stays at 1 after the last."""
    return np.minimum(k, total) / total


def half_cosine(x: Any) -> Any:
    """Return the cosine's way from 1 at 0 to 0 at 1."""
    return 0.5 * (1 + np.cos(np.pi * x))
