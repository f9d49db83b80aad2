"""Taylor's test of a gradient: what it leaves over must shrink as the square of the step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.core.seeding import rng
from ravine.gradients._curvature_objective import Objective, flat
from ravine.gradients._spectrum_figure import LINE, SECOND, WRONG, plain_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Halvings of the step: down to 1e-9 of the weights, where float64 has only rounding left.
_HALVINGS = 30
# A remainder counts while rounding is less than a hundredth of it.
_CLEAR = 100.0
# The line is fitted over so many of the smallest steps that count: there h^2 leads.
_FITTED = 5
_LEAST_SLOPE = 1.8


@dataclass(frozen=True, eq=False)
class TaylorCheck:
    """Remainders of Taylor's formula along one direction.

    Args:
        h: Step lengths, falling.
        remainder: ``|L(w + h u) - L(w) - h u.grad|`` of each.
        rounding: What rounding may add to each.
        slope: Of log remainder against log h over the smallest steps that count: 2 for a right
            gradient, 1 for a wrong one; NaN where all remainders are rounding.
    """

    h: NDArray[np.float64]
    remainder: NDArray[np.float64]
    rounding: NDArray[np.float64]
    slope: float

    @property
    def ok(self) -> bool:
        """Whether the remainder shrinks as h^2 or faster, or is nothing but rounding."""
        return bool(np.isnan(self.slope) or self.slope >= _LEAST_SLOPE)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which steps the slope is fitted to."""
        return _counted(self.remainder, self.rounding)

    def frame(self) -> pd.DataFrame:
        """Return one row per step: ``h, remainder, rounding, counted``."""
        columns = {"h": self.h, "remainder": self.remainder, "rounding": self.rounding}
        return pd.DataFrame(columns | {"counted": self.counted})

    def text(self) -> str:
        """Return the result as a line for a terminal."""
        if np.isnan(self.slope):
            return "Taylor's remainder is rounding only: the function is linear along the direction"
        told = (
            "as for a right gradient" if self.ok else "a right gradient gives 2: this one is wrong"
        )
        return f"Taylor's remainder shrinks as h^{self.slope:.2f} ({told})"

    def plot(self) -> "Figure":
        """Return the figure: remainder against step, both on log scales, with the fitted line."""
        chart = plain_figure("h", "|L(w + h u) − L(w) − h u·∇L|")
        shown = self.remainder > 0
        look = LINE if self.ok else WRONG
        chart.add_scatter(
            x=self.h[shown],
            y=self.remainder[shown],
            mode="markers+lines",
            line=look,
            name="remainder",
        )
        chart.add_scatter(x=self.h, y=self.rounding, mode="lines", line=SECOND, name="rounding")
        if not np.isnan(self.slope):
            x = self.h[self.counted]
            middle = np.exp(np.log(self.remainder[self.counted] / x**self.slope).mean())
            line = {"color": "#717581", "width": 8}
            chart.add_scatter(
                x=x,
                y=middle * x**self.slope,
                mode="lines",
                line=line,
                opacity=0.4,
                name=f"slope {self.slope:.2f}",
            )
        chart.update_xaxes(type="log", exponentformat="power")
        chart.update_yaxes(type="log", exponentformat="power")
        return chart


def taylor_check(
    here: Objective,
    *,
    gradient: Tensor | None = None,
    direction: Tensor | None = None,
    seed: int = 0,
) -> TaylorCheck:
    r"""Check a gradient by the rate at which Taylor's remainder shrinks.

    .. math:: |L(w + h u) - L(w) - h\, u \cdot \nabla L(w)| = O(h^2)

    A wrong gradient leaves a part that shrinks as h alone. Steps start at the size of the weights
    and halve 30 times; in float32 few of them count, so look in float64. A kink closer than the
    smallest step that counts looks like a wrong gradient.

    Args:
        here: The point, from `objective` or `objective_of`.
        gradient: Gradient to check, flat [P]; None for autograd's.
        direction: u, flat [P]; None for a random one. Only its direction counts.
        seed: Fixes the random direction.

    Raises:
        SettingError: A vector has another shape, or the direction is 0.

    >>> from ravine.gradients._curvature_objective import objective_of
    >>> here = objective_of(lambda w: w.exp().sum(), torch.zeros(3, dtype=torch.float64))
    >>> round(taylor_check(here).slope, 2), taylor_check(here, gradient=torch.zeros(3)).ok
    (2.0, False)
    """
    point = flat(here.point)
    u = _direction(here, direction, seed)
    g = here.gradient() if gradient is None else _fitting("gradient", gradient, here)
    slope_along = float(u @ g)
    size = max(1.0, float(point.norm()) / here.size**0.5)
    h = size * 0.5 ** np.arange(_HALVINGS + 1.0)
    start = here.at(point)
    values = np.array([here.at(point + step * u) for step in h])
    with np.errstate(invalid="ignore"):  # a step may leave where the function is finite
        remainder = np.abs(values - start - h * slope_along)
    scale = np.maximum(np.abs(values), abs(start)) + h * abs(slope_along)
    rounding = torch.finfo(here.dtype).eps * scale
    return TaylorCheck(h, remainder, rounding, _slope(h, remainder, rounding))


def _direction(here: Objective, given: Tensor | None, seed: int) -> Tensor:
    if given is None:
        u = torch.from_numpy(rng(seed, "taylor").standard_normal(here.size)).to(here.dtype)
    else:
        u = _fitting("direction", given, here)
    length = float(u.norm())
    if not 0 < length < float("inf"):
        raise SettingError(f"direction must have a finite length > 0, got {length}")
    return u / length


def _fitting(name: str, vector: Tensor, here: Objective) -> Tensor:
    if vector.shape != (here.size,):
        raise SettingError(f"{name} must have shape ({here.size},), got {tuple(vector.shape)}")
    return vector.to(here.dtype)


def _counted(remainder: NDArray[np.float64], rounding: NDArray[np.float64]) -> NDArray[np.bool_]:
    clear = np.isfinite(remainder) & (remainder > _CLEAR * rounding)
    # Rounding may rise above the limit again by chance: steps count up to the first that fails.
    failed = np.flatnonzero(~clear & np.isfinite(remainder))
    if failed.size:
        clear[failed[0] :] = False
    places = np.flatnonzero(clear)
    clear[places[:-_FITTED]] = False
    return clear


def _slope(
    h: NDArray[np.float64], remainder: NDArray[np.float64], rounding: NDArray[np.float64]
) -> float:
    counted = _counted(remainder, rounding)
    if counted.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(h[counted]), np.log(remainder[counted]), 1)[0])
