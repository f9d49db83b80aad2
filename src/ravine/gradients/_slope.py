"""A derivative along a direction, both ways: it agrees, it is wrong, or rounding hides which."""

from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import torch

# Relative disagreement that counts. Float64 slopes are good to 1e-8 or better where the loss is
# smooth, so 1e-6 leaves room, and a single wrong weight of 100,000 shows by some 1e-3.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-2}
SAFETY = 10.0  # on the estimated error of a slope
# Of the largest contribution in the model: a gradient below is zero but for autograd's rounding.
_FLOOR = {torch.float64: 1e-11, torch.float32: 1e-5}
_DECIDED = 0.25  # what rounding may hide of a slope that is called right: a sign and a factor show
_SHARP = 1e-4  # blur of a slope that is good enough to accuse of any error, in float64
_GROSS = 0.25  # of a slope: less than a wrong sign or factor makes


@dataclass(frozen=True)
class Scales:
    """What differences of slopes are held against.

    Args:
        tolerance: Relative disagreement that counts.
        floor: Contribution below which a gradient is nothing but rounding.
        largest: The largest contribution in the model.
    """

    tolerance: float
    floor: float
    largest: float

    @classmethod
    def of(cls, dtype: torch.dtype, largest: float) -> "Scales":
        """Return those of a model in a dtype."""
        return cls(TOLERANCE[dtype], _FLOOR[dtype] * largest, largest)


@dataclass(frozen=True)
class Slope:
    """A derivative along a direction, both ways.

    Args:
        analytic: The gradient's product with the direction.
        numeric: From differences; NaN where there is none.
        size: Root of the summed squares of the gradient's contributions, which do not cancel.
        error: Estimated error of `numeric`.
        scales: What a disagreement is held against.
        left: One-sided derivative from below, None in a first look.
        right: The same from above.
        kink: Whether the one-sided derivatives stay apart, or settle on no value, as the step
            shrinks.
        bend: One-sided differences at long steps: what a derivative of 0 is small beside.
    """

    analytic: float
    numeric: float
    size: float
    error: float
    scales: Scales
    left: float | None = None
    right: float | None = None
    kink: bool = False
    bend: float = 0.0

    @property
    def typical(self) -> float:
        """What tolerance is relative to: at an exact minimum or saddle, what long steps show."""
        still = self.size <= _FLOOR[torch.float64] * self.bend and not self.kink
        return self.bend if still else self.size

    @property
    def allowed(self) -> float:
        """The difference that tolerance and rounding explain."""
        return self.scales.tolerance * self.typical + SAFETY * self.error + self.scales.floor

    @property
    def off(self) -> float:
        """The difference of the two ways."""
        return abs(self.analytic - self.numeric)

    @property
    def differs(self) -> bool:
        """Whether the two ways differ by more than is explained."""
        return self.off > self.allowed

    @property
    def wrong(self) -> bool:
        """Whether the gradient is to blame for a difference.

        Steps as long as rounding may ask for pass kinks, which no error estimate knows of: a slope
        with few digits proves gross errors only.
        """
        gross = self.off >= _GROSS * max(self.size, abs(self.numeric))
        return self.differs and (self.sharp or gross)

    @property
    def blur(self) -> float:
        """What rounding may hide, relative to the slope; NaN without a numeric value."""
        if isnan(self.numeric):
            return nan
        hidden = SAFETY * self.error
        if self.size <= self.scales.floor and hidden <= self.scales.tolerance * self.scales.largest:
            return 0.0  # the gradient is zero, and the numeric one is nothing beside the others
        return hidden / max(self.typical, abs(self.analytic), 1e-300)

    @property
    def sharp(self) -> bool:
        """Whether rounding hides next to nothing."""
        return self.blur <= max(_SHARP, self.scales.tolerance)

    @property
    def agrees(self) -> bool:
        """Whether the two ways are equal, and rounding hides so little that this could be seen."""
        return self.blur <= _DECIDED and not self.differs

    @property
    def relative(self) -> float:
        """The disagreement over the size of the contributions."""
        return self.off / max(self.typical, abs(self.analytic), self.scales.floor, 1e-300)

    def scaled(self, factor: float) -> "Slope":
        """Return the slope along the direction divided by a factor."""

        def part(x: Any) -> Any:
            return None if x is None else x / factor

        scales = Scales(
            self.scales.tolerance, self.scales.floor / factor, self.scales.largest / factor
        )
        return Slope(
            self.analytic / factor,
            self.numeric / factor,
            self.size / factor,
            self.error / factor,
            scales,
            part(self.left),
            part(self.right),
            self.kink,
            self.bend / factor,
        )
