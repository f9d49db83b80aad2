"""The two surfaces on which every rule's path is drawn."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Surface:
    """A loss of two weights with its minimum, of value 0, known.

    Args:
        name: What the pages call it.
        formula: In LaTeX.
        residuals: ``f = |r|^2 / 2`` for methods that need residuals, of a tensor [..., 2].
        start: Where every path starts.
        minimum: Where it should end.
        window: Left, right, bottom, top of the figure.
        levels: Values of the contour lines.
        contour: Closed outline ``(x, y), ...`` of the set below a level.
        goal: Loss at which a run has arrived.
        steps: Most steps of a run.
    """

    name: str
    formula: str
    residuals: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    minimum: tuple[float, float]
    window: tuple[float, float, float, float]
    levels: tuple[float, ...]
    contour: Callable[[float], list[tuple[float, float]]]
    goal: float
    steps: int

    def loss(self, weights: Tensor) -> Tensor:
        """Return the loss of weights whose two entries may have any shape."""
        return self.residuals(weights.reshape(2)).square().sum() / 2

    def shows(self, point: tuple[float, float]) -> bool:
        """Whether a point lies in the figure."""
        left, right, bottom, top = self.window
        return left <= point[0] <= right and bottom <= point[1] <= top

    def gradient(self, weights: Tensor) -> Tensor:
        """Return the gradient, in the shape of the weights."""
        point = weights.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self.loss(point), point)[0]


def _ravine(w: Tensor) -> Tensor:
    return torch.stack([w[0], 5 * w[1]])


def _ellipse(level: float) -> list[tuple[float, float]]:
    radius = math.sqrt(2 * level)
    angles = [2 * math.pi * i / 72 for i in range(72)]
    return [(radius * math.cos(a), radius / 5 * math.sin(a)) for a in angles]


def _rosenbrock(w: Tensor) -> Tensor:
    return math.sqrt(2) * torch.stack([1 - w[0], 10 * (w[1] - w[0] ** 2)])


def _banana(level: float) -> list[tuple[float, float]]:
    # y = x^2 +- sqrt(level - (1 - x)^2) / 10. What lies far outside the figure is cut off; points
    # are closer together at the ends, where the outline turns.
    reach = math.sqrt(level)
    low, high = max(1 - reach, -2.5), min(1 + reach, 2.5)
    angles = [math.pi * i / 48 for i in range(49)]
    across = [(low + high) / 2 + (high - low) / 2 * math.cos(a) for a in angles]
    heights = [math.sqrt(max(0.0, level - (1 - x) ** 2)) / 10 for x in across]
    above = [(x, x * x + height) for x, height in zip(across, heights, strict=True)]
    below = [(x, x * x - height) for x, height in zip(across, heights, strict=True)]
    return [*above, *reversed(below)]


RAVINE = Surface(
    "ravine quadratic",
    r"f(x, y) = \tfrac{1}{2} (x^2 + 25 y^2)",
    _ravine,
    (-4.0, 1.5),
    (0.0, 0.0),
    (-5.0, 2.0, -2.2, 2.2),
    (0.5, 2.0, 4.5, 8.0, 12.5, 18.0, 24.5, 32.0, 40.5),
    _ellipse,
    1e-4,
    200,
)
ROSENBROCK = Surface(
    "Rosenbrock function",
    r"f(x, y) = (1 - x)^2 + 100 (y - x^2)^2",
    _rosenbrock,
    (-1.2, 1.0),
    (1.0, 1.0),
    (-2.0, 2.0, -1.0, 3.0),
    (0.25, 1.0, 4.0, 12.0, 40.0, 120.0, 350.0),
    _banana,
    1e-3,
    500,
)
SURFACES = {"ravine": RAVINE, "rosenbrock": ROSENBROCK}
