"""Reduce-on-plateau: a schedule of what training shows, and so not one of the steps alone."""

from inspect import signature
from typing import Any

import numpy as np

from ravine.core.errors import SettingError
from ravine.core.numbers import integer
from ravine.schedules._checks import number, one_of, positive
from ravine.schedules._scaled import Schedule, Values


class ReduceOnPlateau:
    r"""Lower the learning rate when a metric has stopped improving.

    .. math:: \eta \leftarrow \max(f \eta, \eta_{\min}) \text{ after more than } p
        \text{ evaluations in a row without a new best}

    Equal to torch's ``ReduceLROnPlateau``, which drives Ravine's optimizers as it stands; this one
    drives anything else, and many trainings at once: give arrays. It remembers what it was fed, so
    it is no pure function of the step, and no part of a `sequence`, `product` or comparison.

    Args:
        direction: ``"min"`` or ``"max"``: whether a lower or a higher metric is better.
        factor: ``f``, > 0 and < 1.
        patience: ``p``, >= 0.
        threshold: By how much a metric must be better than the best, >= 0; < 1 if relative.
        relative: Whether the threshold is a share of the best, as in ``best * (1 - threshold)``.
        cooldown: Evaluations after a reduction that do not count, >= 0.
        min_lr: The rate is not lowered further than this, >= 0.
        eps: A reduction by no more than this is left out, >= 0.

    Raises:
        SettingError: An argument is outside its bounds.

    Attributes:
        best: Best metric so far.
        waited: Evaluations in a row without a new best.
        cooling: Evaluations left that do not count.

    >>> plateau, values = ReduceOnPlateau(patience=1), {"lr": 1.0}
    >>> rates = []
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0):
    ...     values |= plateau.update(loss, values)
    ...     rates.append(round(float(values["lr"]), 12))
    >>> rates
    [1.0, 1.0, 1.0, 0.1, 0.1, 0.01]
    """

    def __init__(
        self,
        *,
        direction: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        relative: bool = True,
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self._sign = 1.0 if one_of("direction", direction, ("min", "max")) == "min" else -1.0
        if positive("factor", factor) >= 1:
            raise SettingError(f"factor must be > 0 and < 1, got {factor!r}")
        self._factor, self._relative = float(factor), one_of("relative", relative, (True, False))
        self._patience = integer("patience", patience, 0)
        self._cooldown = integer("cooldown", cooldown, 0)
        self._threshold = _not_negative("threshold", threshold)
        if relative and threshold >= 1:
            raise SettingError(f"threshold must be < 1 where it is relative, got {threshold!r}")
        self._min_lr, self._eps = _not_negative("min_lr", min_lr), _not_negative("eps", eps)
        self.best: Any = np.inf * self._sign
        self.waited: Any = 0
        self.cooling: Any = 0

    def update(self, metric: Any, values: Values) -> dict[str, Any]:
        """Take the metric of an evaluation and return the learning rate to go on with.

        Args:
            metric: A number, or an array with one per training. NaN is no improvement.
            values: The current ones; ``lr`` is changed.

        Returns:
            The new ``lr``.
        """
        metric, rate = np.asarray(metric, float), np.asarray(values["lr"], float)
        better = self._is_better(metric)
        self.best = np.where(better, metric, self.best)
        self.waited = np.where(better | (self.cooling > 0), 0, self.waited + 1)
        self.cooling = np.maximum(self.cooling - 1, 0)
        due = self.waited > self._patience
        self.waited = np.where(due, 0, self.waited)
        self.cooling = np.where(due, self._cooldown, self.cooling)
        lower = np.maximum(rate * self._factor, self._min_lr)
        return {"lr": np.where(due & (rate - lower > self._eps), lower, rate)[()]}

    def _is_better(self, metric: Any) -> Any:
        margin = self._sign * self._threshold
        bar = self.best * (1 - margin) if self._relative else self.best - margin
        return metric * self._sign < bar * self._sign


def pure(schedule: Any) -> Schedule:
    """Return a schedule that is a function of the step.

    Raises:
        SettingError: It is none.
    """
    if isinstance(schedule, ReduceOnPlateau | type) or not callable(schedule):
        raise no_function(schedule)
    try:
        signature(schedule).bind(0, 1, {})
    except TypeError:  # as for a factory that was not called
        raise no_function(schedule) from None
    return schedule


def no_function(given: Any) -> SettingError:
    """Return the error for what is no function of the step."""
    if given in ("plateau", ReduceOnPlateau) or isinstance(given, ReduceOnPlateau):
        return SettingError(
            "schedule must be a function of the step, got reduce-on-plateau, which needs the metric"
            " of every evaluation; feed a ravine.schedules.ReduceOnPlateau in a loop of your own,"
            " or use torch's ReduceLROnPlateau with one optimizer"
        )
    return SettingError(
        "schedule must be a function (step, total, base) -> values, such as cosine or warmup(100),"
        f" got {given!r}"
    )


def _not_negative(name: str, value: Any) -> float:
    if number(name, value) < 0:
        raise SettingError(f"{name} must be >= 0, got {value!r}")
    return float(value)
