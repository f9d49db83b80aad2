"""A point of a sandbox with its analytic gradients, and slopes of the loss along directions.

A slope comes from two evaluations. Where it disagrees with the gradient, or rounding hides it, a
ladder of steps from large to small tells rounding, curvature and kinks apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from math import isnan, nan
from typing import Protocol

import torch
from torch import Tensor

from ravine.gradients._faint import faint
from ravine.gradients._formulas import scale_of
from ravine.gradients._ladder import Rungs, settled
from ravine.gradients._listening import Listener
from ravine.gradients._noise import noise_along
from ravine.gradients._points import Objective
from ravine.gradients._slope import SAFETY, TOLERANCE, Scales, Slope

_STEP = {torch.float64: 1e-6, torch.float32: 1e-2}  # of a first look, relative to the weights
_LADDER = {
    torch.float64: (1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    torch.float32: (1e-1, 3e-2, 1e-2, 3e-3, 1e-3),
}
_SHARP = {torch.float64: 1e-4, torch.float32: 2e-2}  # blur of a first look that is enough

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


class Place:
    """A point of a sandbox, and its analytic gradients.

    Args:
        box: The sandbox; its subjects hold the point.
        gradients: Analytic gradients of all subjects; None where autograd gives none.
        loss: Value at the point.
        left_out: Flat indices of entries that are never moved, by number of the subject.
    """

    def __init__(
        self,
        box: Box,
        gradients: Sequence[Tensor | None],
        loss: float,
        left_out: Mapping[int, Tensor] | None = None,
    ) -> None:
        self.box = box
        self.loss = loss
        self.gradients = gradients
        self.base = [one.detach().clone() for one in box.subjects]
        self.scales = [scale_of(one) for one in self.base]
        self.evaluations = 0
        self.left_out = left_out or {}
        self.largest = max((self.contribution(t) for t in self.known), default=0.0)
        self._noises: dict[tuple[int, ...], float] = {}

    @property
    def known(self) -> list[int]:
        """Numbers of the subjects that have an analytic gradient."""
        return [t for t, gradient in enumerate(self.gradients) if gradient is not None]

    @cached_property
    def faint(self) -> frozenset[int]:
        """Numbers of the subjects whose gradient is small beside the largest, but no rounding."""
        return faint(self)

    def objective(self, listener: Listener) -> Objective:
        """Return the loss as a function of the subjects, for many points."""
        plain = [one.detach() for one in self.box.subjects]  # shares memory: edits are seen
        return Objective(self.box.names, plain, self.box.value, self.box.pure, listener)

    def entries(self, which: int) -> Tensor:
        """Return the flat indices of a subject that are checked."""
        kept = torch.ones(self.base[which].numel(), dtype=torch.bool)
        if which in self.left_out:
            kept[self.left_out[which]] = False
        return kept.nonzero().flatten()

    def noise(self, *which: int) -> float:
        """Return the rounding error of the loss as some subjects move, measured or expected."""
        eps = torch.finfo(self.box.dtype).eps
        return self._noises.get(which, 4 * eps * abs(self.loss))

    @property
    def rough(self) -> bool:
        """Whether rounding hides the slopes of a first look at most subjects."""
        hidden = SAFETY * max(self._noises.values(), default=0.0) / _STEP[self.box.dtype]
        sizes = sorted(self.contribution(t) for t in self.known)
        return bool(sizes) and hidden > _SHARP[self.box.dtype] * sizes[len(sizes) // 2]

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
        scales = self.scales_along(which)
        return {t: self._random(t, scales[t], generator, entries) for t in which}

    def scales_along(self, which: Sequence[int]) -> dict[int, float]:
        """Return how far each subject is moved in a direction over some of them."""
        if len(which) == 1:
            return {which[0]: self.scales[which[0]]}
        sizes = {t: self.contribution(t) for t in which}
        positive = sorted(size for size in sizes.values() if size > 0)
        typical = positive[len(positive) // 2] if positive else 1.0
        return {
            t: self.scales[t] * (min(max(typical / size, 1e-3), 10.0) if size > 0 else 1.0)
            for t, size in sizes.items()
        }

    def along_gradient(self, which: int, generator: torch.Generator) -> Direction:
        """Return a direction of random sizes with the gradient's signs: no terms cancel in it."""
        gradient = self.gradients[which]
        assert gradient is not None
        return {
            which: self.direction([which], generator)[which].abs() * gradient.sign().to(gradient)
        }

    def look(self, direction: Direction) -> Slope:
        """Return the slope along a direction: two evaluations, more where they do not suffice."""
        usual, dtype = _STEP[self.box.dtype], self.box.dtype
        flat = self._slope(direction, 0.0, 0.0)
        # The shorter step passes fewer kinks; it counts only where rounding hides nothing.
        for step, blur in ((usual / 10, TOLERANCE[dtype]), (usual, _SHARP[dtype])):
            slope = replace(flat, error=self.noise(*direction) / step)
            if slope.blur <= blur:
                slope = replace(slope, numeric=self._central(direction, step))
                if slope.agrees and slope.blur <= blur:
                    return slope
        return self.ladder(direction)

    def glance(self, direction: Direction) -> bool:
        """Return whether two evaluations exist and do not differ from the gradient, for searching.

        The step is the smallest at which rounding leaves something to see.
        """
        steps = [h for h in reversed(_LADDER[self.box.dtype]) if h >= _STEP[self.box.dtype]]
        hidden = SAFETY * self.noise(*direction)
        flat = self._slope(direction, 0.0, 0.0)
        step = next((h for h in steps if hidden / h <= 0.03 * flat.size), None)
        if step is None:
            step = steps[-1] if flat.size > 0 and tuple(direction) in self._noises else steps[0]
        numeric, error = self._central(direction, step), self.noise(*direction) / step
        return not (replace(flat, numeric=numeric, error=error).differs or isnan(numeric))

    def ladder(self, direction: Direction) -> Slope:
        """Return the slope along a direction from steps of many sizes.

        Where the direction leaves the domain both ways, all its moves are made upwards.
        """
        found = self._climbed(direction)
        if isnan(found.numeric):
            return self._climbed({t: move.abs() for t, move in direction.items()})
        return found

    def pair(self, which: int, entry: int) -> Slope:
        """Return the slope along one entry of one subject, in units of that entry."""
        unit = torch.zeros_like(self.base[which])
        width = max(self.scales[which], abs(float(self.base[which].view(-1)[entry])))
        unit.view(-1)[entry] = width
        return self.ladder({which: unit}).scaled(width)

    def entry_step(self, which: int) -> float:
        """Return the step of differences by single entries, relative to their scale.

        The usual one, unless rounding would hide what it shows.
        """
        usual: float = torch.finfo(self.box.dtype).eps ** (1 / 3)
        typical = self.contribution(which) / max(1, self.base[which].numel()) ** 0.5
        noise = self.noise(which)
        if not typical or SAFETY * noise / usual <= 1e-3 * typical:
            return usual
        return min(max((noise / typical) ** (1 / 3), usual), 0.1)

    def contribution(self, which: int) -> float:
        """Return how much of a slope a subject makes when moved by its own scale."""
        gradient = self.gradients[which]
        return 0.0 if gradient is None else float(gradient.norm()) * self.scales[which]

    def _climbed(self, direction: Direction) -> Slope:
        slope = self._slope(direction, nan, nan)
        noise = self._measured(direction, slope.size)
        steps = _LADDER[self.box.dtype]
        start = self._value(direction, 0.0)
        right = [(self._value(direction, h) - start) / h for h in steps]
        left = [(start - self._value(direction, -h)) / h for h in steps]
        found = settled(Rungs(steps, left, right, noise), slope.scales.tolerance * slope.size)
        return replace(
            slope,
            numeric=found.derivative,
            error=found.error,
            left=found.left,
            right=found.right,
            kink=found.kink,
            bend=found.bend,
        )

    def _central(self, direction: Direction, step: float) -> float:
        rise = self._value(direction, step) - self._value(direction, -step)
        return rise / (2 * step)

    def _slope(self, direction: Direction, numeric: float, error: float) -> Slope:
        parts = [
            move * gradient
            for t, move in direction.items()
            if (gradient := self.gradients[t]) is not None
        ]
        analytic = sum(float(part.sum()) for part in parts)
        size = sum(float(part.norm()) ** 2 for part in parts) ** 0.5
        # A faint subject alone is held against itself.
        largest = 0.0 if self.faint.issuperset(direction) else self.largest
        scales = Scales.of(self.box.dtype, largest)
        return Slope(analytic, numeric, size, error, scales)

    def _random(
        self, which: int, scale: float, generator: torch.Generator, entries: Tensor | None
    ) -> Tensor:
        base = self.base[which]
        count = base.numel() if entries is None else len(entries)
        draws = torch.rand(count, generator=generator, dtype=base.dtype).mul_(2).sub_(1)
        moves = draws.add_(draws.sign(), alpha=0.5).mul_(scale).to(base.device)
        if entries is not None:
            made = torch.zeros_like(base)
            made.view(-1)[entries] = moves
            return made
        if which in self.left_out:
            moves[self.left_out[which]] = 0.0
        return moves.view(base.shape)

    def _value(self, direction: Direction, step: float) -> float:
        subjects = self.box.subjects
        self.evaluations += 1
        with torch.no_grad():
            for t, move in direction.items():
                subjects[t].add_(move, alpha=step)
            try:
                return float(self.box.loss())
            except Exception:  # it can be evaluated at the point: here it leaves its domain
                return nan
            finally:
                for t in direction:
                    subjects[t].copy_(self.base[t])

    def _measured(self, direction: Direction, size: float) -> float:
        """Return the rounding error of the loss along a direction, measured once per subject."""
        key = tuple(direction)
        if key in self._noises:
            return self._noises[key]
        least = 0.5 * torch.finfo(self.box.dtype).eps * abs(self.loss)
        known = max(self._noises.values(), default=least)
        for sign in (1, -1):
            line = {t: sign * move for t, move in direction.items()}
            found = noise_along(partial(self._value, line), self.box.dtype, size)
            if found > 0:
                self._noises[key] = max(found, least)
                return self._noises[key]
        # It leaves its domain, or stands on one stair all along: others tell how high stairs are.
        return known
