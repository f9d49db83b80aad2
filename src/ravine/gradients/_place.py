"""A point of a sandbox with its analytic gradients, and slopes of the loss along directions.

A slope comes from two evaluations. Where it disagrees with the gradient, a ladder of steps from
large to small tells rounding, curvature and kinks apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ravine.gradients._formulas import scale_of
from ravine.gradients._listening import Listener
from ravine.gradients._points import Objective

# Relative disagreement that counts. Float64 slopes are good to 1e-8 or better where the loss is
# smooth, so 1e-6 leaves room, and a single wrong weight of 100,000 shows by some 1e-3.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-2}
_STEP = {torch.float64: 1e-6, torch.float32: 1e-2}  # of a first look, relative to the weights
_LADDER = {
    torch.float64: (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    torch.float32: (1e-1, 3e-2, 1e-2, 3e-3, 1e-3),
}
_SAFETY = 10.0  # on the estimated error of a slope
_FLOOR = 1e-9  # of the largest contribution in the model: below, a slope is nothing but rounding
_STRIDES = {torch.float64: (1e-10, 1e-8, 1e-6), torch.float32: (1e-5, 1e-4)}

Direction = Mapping[int, Tensor]


class Box(Protocol):
    """A scalar function to experiment on: a sandbox, or a single node."""

    names: list[str]
    subjects: list[Tensor]
    dtype: torch.dtype

    def loss(self) -> Tensor:
        """Return the value with its graph."""

    def value(self) -> Tensor:
        """Return the value without its graph."""

    def pure(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the value as a function of the subjects."""


@dataclass(frozen=True)
class Slope:
    """A derivative along a direction, both ways.

    Args:
        analytic: The gradient's product with the direction.
        numeric: From differences.
        size: Root of the summed squares of the gradient's contributions, which do not cancel.
        error: Estimated error of `numeric`.
        left: One-sided derivative from below, None in a first look.
        right: The same from above.
        kink: Whether the one-sided derivatives stay apart as the step shrinks.
        agrees: Whether both ways agree within tolerance and error.
    """

    analytic: float
    numeric: float
    size: float
    error: float
    left: float | None
    right: float | None
    kink: bool
    agrees: bool

    @property
    def relative(self) -> float:
        """The disagreement over the size of the contributions."""
        off = abs(self.analytic - self.numeric)
        return off / max(self.size, self.error, 1e-300)


class Place:
    """A point of a sandbox, and its analytic gradients.

    Args:
        box: The sandbox; its subjects hold the point.
        gradients: Analytic gradients of all subjects; None where autograd gives none.
        loss: Value at the point.
        only: Numbers of the subjects that directions move; all with a gradient when None.
    """

    def __init__(self, box: Box, gradients: Sequence[Tensor | None], loss: float) -> None:
        self.box = box
        self.loss = loss
        self.gradients = gradients
        self.base = [one.detach().clone() for one in box.subjects]
        self.scales = [scale_of(one) for one in self.base]
        self.evaluations = 0
        self.noise = 4 * torch.finfo(box.dtype).eps * abs(loss)
        self._noise_measured = False
        self._largest = max((self._contribution(t) for t in self.known), default=0.0)

    @property
    def known(self) -> list[int]:
        """Numbers of the subjects that have an analytic gradient."""
        return [t for t, gradient in enumerate(self.gradients) if gradient is not None]

    def objective(self, listener: Listener) -> Objective:
        """Return the loss as a function of the subjects, for many points."""
        plain = [one.detach() for one in self.box.subjects]  # shares memory: edits are seen
        return Objective(self.box.names, plain, self.box.value, self.box.pure, listener)

    def direction(
        self, which: Sequence[int], generator: torch.Generator, entries: Tensor | None = None
    ) -> Direction:
        """Return a random direction over some subjects, of the size of their weights.

        Signs are random and sizes vary by a factor of three, so that two errors of one size
        cannot cancel. Over several subjects, each is scaled towards an equal contribution, so
        that none hides behind another.

        Args:
            which: Numbers of the subjects.
            generator: Draws it.
            entries: Flat indices to move, of a single subject; None: all.
        """
        sizes = [self._contribution(t) for t in which]
        positive = sorted(size for size in sizes if size > 0)
        typical = positive[len(positive) // 2] if positive else 1.0
        made = {}
        for t, size in zip(which, sizes, strict=True):
            scale = self.scales[t]
            if len(which) > 1:
                scale *= min(max(typical / size, 1e-3), 10.0) if size > 0 else 1.0
            made[t] = self._random(t, scale, generator, entries)
        return made

    def look(self, direction: Direction) -> Slope:
        """Return the slope along a direction: two evaluations, more where they disagree."""
        for step in (_STEP[self.box.dtype], _STEP[self.box.dtype] / 10):
            rise = self._value(direction, step) - self._value(direction, -step)
            slope = self._slope(direction, rise / (2 * step), self.noise / step)
            # The shorter step passes fewer kinks; it counts only where rounding hides nothing.
            sharp = _SAFETY * slope.error <= TOLERANCE[self.box.dtype] * slope.size
            if slope.agrees and (sharp or step == _STEP[self.box.dtype]):
                return slope
        return self.ladder(direction)

    def glance(self, direction: Direction) -> bool:
        """Return whether two evaluations agree with the gradient, for searching."""
        step = _STEP[self.box.dtype]
        rise = self._value(direction, step) - self._value(direction, -step)
        return self._slope(direction, rise / (2 * step), self.noise / step).agrees

    def ladder(self, direction: Direction) -> Slope:
        """Return the slope along a direction from steps of many sizes."""
        self._measure_noise(direction)
        steps = _LADDER[self.box.dtype]
        start = float(self._value(direction, 0.0))
        right = [(self._value(direction, h) - start) / h for h in steps]
        left = [(start - self._value(direction, -h)) / h for h in steps]
        middle = [(r + b) / 2 for r, b in zip(right, left, strict=True)]
        doubts = [
            abs(middle[k] - middle[k - 1]) + self.noise / steps[k] for k in range(1, len(steps))
        ]
        # NaN compares as false everywhere: a step that leaves the domain is never the best.
        best = 1 + min(range(len(doubts)), key=lambda k: (doubts[k] != doubts[k], doubts[k]))
        jump, before = (abs(right[k] - left[k]) for k in (best, best - 1))
        slope = self._slope(direction, middle[best], doubts[best - 1], (left[best], right[best]))
        tolerance = TOLERANCE[self.box.dtype] * slope.size + _SAFETY * self.noise / steps[best]
        return replace(slope, kink=jump > tolerance and jump > 0.3 * before)

    def pair(self, which: int, entry: int) -> Slope:
        """Return the slope along one entry of one subject, in units of that entry."""
        unit = torch.zeros_like(self.base[which])
        width = max(self.scales[which], abs(float(self.base[which].view(-1)[entry])))
        unit.view(-1)[entry] = width
        found = self.ladder({which: unit})
        left, right = (None if one is None else one / width for one in (found.left, found.right))
        return replace(
            found,
            analytic=found.analytic / width,
            numeric=found.numeric / width,
            size=found.size / width,
            error=found.error / width,
            left=left,
            right=right,
        )

    def _contribution(self, which: int) -> float:
        """Return how much of a slope a subject makes when moved by its own scale."""
        gradient = self.gradients[which]
        return 0.0 if gradient is None else float(gradient.norm()) * self.scales[which]

    def _random(
        self, which: int, scale: float, generator: torch.Generator, entries: Tensor | None
    ) -> Tensor:
        base = self.base[which]
        count = base.numel() if entries is None else len(entries)
        draws = 2 * torch.rand(count, generator=generator, dtype=base.dtype) - 1
        moves = (scale * (draws + 0.5 * draws.sign())).to(base.device)
        if entries is None:
            return moves.view(base.shape)
        made = torch.zeros_like(base)
        made.view(-1)[entries] = moves
        return made

    def _value(self, direction: Direction, step: float) -> float:
        subjects = self.box.subjects
        self.evaluations += 1
        with torch.no_grad():
            for t, move in direction.items():
                subjects[t].add_(move, alpha=step)
            try:
                return float(self.box.loss())
            finally:
                for t in direction:
                    subjects[t].copy_(self.base[t])

    def _slope(
        self,
        direction: Direction,
        numeric: float,
        error: float,
        sides: tuple[float, float] | tuple[None, None] = (None, None),
    ) -> Slope:
        parts = [
            (move * gradient, move)
            for t, move in direction.items()
            if (gradient := self.gradients[t]) is not None
        ]
        analytic = sum(float(part.sum()) for part, _ in parts)
        size = sum(float(part.norm()) ** 2 for part, _ in parts) ** 0.5
        allowed = TOLERANCE[self.box.dtype] * size + _SAFETY * error + _FLOOR * self._largest
        agrees = abs(analytic - numeric) <= allowed
        left, right = sides
        return Slope(analytic, numeric, size, error, left, right, kink=False, agrees=agrees)

    def _measure_noise(self, direction: Direction) -> None:
        """Estimate the rounding error of the loss from third differences at tiny strides.

        Source: More & Wild 2011, Estimating computational noise, section 3.
        """
        if self._noise_measured:
            return
        for stride in _STRIDES[self.box.dtype]:
            values = torch.tensor(
                [self._value(direction, k * stride) for k in range(1, 9)], dtype=torch.float64
            )
            # Equal values: the stride is lost in a narrower dtype somewhere inside.
            if bool((values != values[0]).any()):
                break
        third = values.diff(n=3)
        measured = float((third.square().mean() / 20).sqrt())  # 20 = 1 + 9 + 9 + 1 squared terms
        self.noise = max(self.noise, 3 * measured)
        self._noise_measured = True
