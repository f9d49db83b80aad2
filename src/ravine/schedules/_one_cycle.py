"""The one-cycle policy: the learning rate up and down, the momentum down and up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ravine.core.errors import SettingError
from ravine.schedules._checks import number, one_of, positive, share
from ravine.schedules._decay import half_cosine
from ravine.schedules._scaled import Schedule, Steps, Values, base_rate, notation


@dataclass(frozen=True)
class _OneCycle:
    rise: float
    start: float
    end: float
    shape: str
    phases: int
    momentum: tuple[float, float] | None

    def __call__(self, step: Any, total: int, base: Values) -> dict[str, Any]:
        rate, k = base_rate(total, base), np.asarray(step, float)
        turns, levels = self._turns(total), [self.start, 1.0, self.start][: self.phases]
        values = {"lr": rate * self._at(k, turns, [*levels, self.end])}
        if "momentum" in base and self.momentum is not None:
            low, high = self.momentum
            cycled = self._at(k, turns, [high, low, high, high][: self.phases + 1])
            # A rule whose momentum is switched off stays what it is.
            off = np.asarray(base["momentum"]) == 0
            values["momentum"] = np.where(off, 0.0, cycled)[()]
        return values

    def __str__(self) -> str:
        settings = (self.rise, self.start, self.end, self.shape, self.phases, self.momentum)
        return notation("onecycle", settings)

    def _turns(self, total: int) -> list[float]:
        """Return the steps between which values run, not whole ones, as in torch."""
        inner = [n * self.rise * total - n for n in range(1, self.phases)]
        return [0.0, *inner, total - 1.0]

    def _at(self, k: Steps, turns: list[float], levels: list[float]) -> NDArray[np.float64]:
        piece = np.sum([k > turn for turn in turns[1:-1]], axis=0)
        start, width = np.array(turns[:-1])[piece], np.diff(turns)[piece]
        # A piece without width is over when it begins; values stay after the last step.
        done = np.where(width > 0, (k - start) / np.where(width > 0, width, 1), 1).clip(0, 1)
        first, last = np.array(levels[:-1])[piece], np.array(levels[1:])[piece]
        left = half_cosine(done) if self.shape == "cosine" else 1 - done
        return last + (first - last) * left


def one_cycle(
    rise: float = 0.3,
    start: float = 0.04,
    end: float = 4e-6,
    shape: str = "cosine",
    phases: int = 2,
    momentum: Sequence[float] | None = (0.85, 0.95),
) -> Schedule:
    r"""Raise the learning rate to its base value, then lower it to almost nothing.

    .. math:: \eta_k: s \eta \to \eta \to e \eta, \qquad \mu_k: \mu_1 \to \mu_0 \to \mu_1

    along half cosines or straight lines, which meet at step :math:`r T - 1` and end at the last
    step, :math:`T - 1`. In three phases the rate comes back to :math:`s \eta` at step
    :math:`2 r T - 2`, and the momentum to :math:`\mu_1`, before the last fall. Equal to torch's
    ``OneCycleLR(max_lr=lr, total_steps=total, pct_start=rise, div_factor=1 / start,
    final_div_factor=start / end)``, but that a momentum of 0, which means none, stays 0.

    Args:
        rise: Share of the steps that the rate rises for, ``r``, in (0, 1); in three phases at most
            a half.
        start: Share of the base rate at the first step, ``s``, in (0, 1].
        end: Share of the base rate at the last step, ``e``, in [0, 1].
        shape: ``"cosine"`` or ``"linear"`` (Smith's).
        phases: 2, or 3 (Smith's).
        momentum: Lowest and highest, ``(mu_0, mu_1)``, in [0, 1), for base values that hold a
            ``momentum``, as `named_momentum` makes of any rule's; None leaves it alone.

    Raises:
        SettingError: An argument is outside its bounds.

    >>> values = one_cycle()([0, 29, 99], 100, {"lr": 1.0, "momentum": 0.9, "beta2": 0.999})
    >>> values["lr"].round(6).tolist(), values["momentum"].round(6).tolist()
    ([0.04, 1.0, 4e-06], [0.95, 0.85, 0.95])

    Source: Smith & Topin 2019, arXiv:1708.07120; Smith 2018, arXiv:1803.09820.
    """
    one_of("phases", phases, (2, 3))
    most = 0.5 if phases == 3 else 1.0
    if not 0 < number("rise", rise) <= most or rise == 1:
        limit = "<= 0.5 in three phases" if phases == 3 else "< 1"
        raise SettingError(f"rise must be a share of all steps, > 0 and {limit}, got {rise!r}")
    rates = (positive("start", start, 1.0), share("end", end))
    one_of("shape", shape, ("cosine", "linear"))
    return _OneCycle(float(rise), *rates, shape, phases, _cycled(momentum))


def _cycled(momentum: Any) -> tuple[float, float] | None:
    if momentum is None:
        return None
    pair = momentum if isinstance(momentum, Sequence) and not isinstance(momentum, str) else ()
    numbers = [number("momentum", one) for one in pair]
    if len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1] < 1:
        raise SettingError(
            "momentum must be the lowest and the highest, 0 <= low <= high < 1, or None, got"
            f" {momentum!r}; write (0.85, 0.95)"
        )
    return numbers[0], numbers[1]
