"""What the top eigenvalue says about learning rates, at one point and along a training."""

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

import pandas as pd

from ravine.core.errors import SettingError
from ravine.gradients._curvature import Curvature, Matrix, curvature
from ravine.gradients._curvature_objective import Objective, objective
from ravine.gradients._spectrum import Estimate, top_eigenvalues, trace
from ravine.gradients._spectrum_figure import LINE, SECOND, plain_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from torch import nn

    from ravine.gradients._curvature_objective import Loss


def stable_rate(sharpness: float, momentum: float = 0.0) -> float:
    r"""Return the largest learning rate at which descent is stable on a quadratic.

    .. math:: \eta_{max} = \frac{2 (1 + \mu)}{\lambda_{max}}

    for ``v = mu v + g; w -= eta v``, and gradient descent for a momentum of 0. Above it the
    component along the top eigenvector grows; a network may still train there, at the edge of
    stability (Cohen et al. 2021, arXiv:2103.00065), as its curvature changes on the way.

    Args:
        sharpness: Largest eigenvalue of the Hessian.
        momentum: mu, in [0, 1).

    Returns:
        The rate; infinite where nothing curves upwards.

    Raises:
        SettingError: The momentum is out of bounds.

    >>> stable_rate(10.0), stable_rate(10.0, momentum=0.9)
    (0.2, 0.38)

    Source: Polyak 1964, "Some methods of speeding up the convergence of iteration methods".
    """
    if not 0 <= momentum < 1:
        raise SettingError(f"momentum must be in [0, 1), got {momentum}")
    return 2 * (1 + momentum) / sharpness if sharpness > 0 else inf


@dataclass(frozen=True, eq=False)
class CurvatureReport:
    """The curvature of a loss at one point.

    Args:
        size: Number of weights P.
        largest: Largest eigenvalues of the Hessian, downwards.
        smallest: Its smallest eigenvalue.
        gauss_newton: Largest eigenvalue of the Gauss-Newton matrix; None without a model.
        trace: Of the Hessian.
        momentum: Of the rate for momentum.
        source: What computed the products.
    """

    size: int
    largest: tuple[float, ...]
    smallest: float
    gauss_newton: float | None
    trace: Estimate
    momentum: float
    source: str

    def frame(self) -> pd.DataFrame:
        """Return one row per quantity: ``quantity, value, error`` (NaN where it is exact)."""
        rows: list[tuple[str, float, float]] = [
            (f"eigenvalue {i}", value, float("nan")) for i, value in enumerate(self.largest, 1)
        ]
        rows.append(("smallest eigenvalue", self.smallest, float("nan")))
        if self.gauss_newton is not None:
            rows.append(("Gauss-Newton eigenvalue 1", self.gauss_newton, float("nan")))
        rows.append(("trace", self.trace.value, self.trace.error))
        top = self.largest[0]
        rows.append(("stable rate, gradient descent", stable_rate(top), float("nan")))
        name = f"stable rate, momentum {self.momentum:g}"
        rows.append((name, stable_rate(top, self.momentum), float("nan")))
        return pd.DataFrame(rows, columns=["quantity", "value", "error"])

    def text(self) -> str:
        """Return the same as lines for a terminal."""
        top = self.largest[0]
        lines = [
            f"curvature of the loss at this point, {self.size:,} weights ({self.source})",
            f"  largest eigenvalues  {', '.join(f'{v:.4g}' for v in self.largest)}",
            f"  smallest eigenvalue  {self.smallest:.4g}{self._saddle()}",
        ]
        if self.gauss_newton is not None:
            lines.append(f"  Gauss-Newton         {self.gauss_newton:.4g}")
        lines += [
            f"  trace                {self.trace}",
            f"  gradient descent is stable here up to lr {stable_rate(top):.4g} (2 / lambda)",
            f"  momentum {self.momentum:g} up to lr {stable_rate(top, self.momentum):.4g}"
            " (2 (1 + mu) / lambda)",
        ]
        return "\n".join(lines)

    def _saddle(self) -> str:
        return " (the loss curves downwards here)" if self.smallest < 0 else ""


def curvature_report(
    here: Objective,
    *,
    count: int = 3,
    momentum: float = 0.9,
    samples: int = 16,
    seed: int = 0,
) -> CurvatureReport:
    """Return the curvature at a point, and the learning rates that are stable there.

    Args:
        here: The point, from `objective` or `objective_of`.
        count: Number of largest eigenvalues, >= 1; all P where there are fewer weights.
        momentum: Of the rate for momentum, in [0, 1).
        samples: Random vectors for the trace, >= 2.
        seed: Fixes everything random.

    Raises:
        SettingError: A setting is out of bounds.
        ModelError: The function cannot be differentiated twice, or an eigenvalue is not found.

    >>> import torch
    >>> from ravine.gradients._curvature_objective import objective_of
    >>> bowl = objective_of(lambda w: w[0] ** 2 + 5 * w[1] ** 2, torch.ones(2))
    >>> print(curvature_report(bowl, count=2).text())
    curvature of the loss at this point, 2 weights (torch.func)
      largest eigenvalues  10, 2
      smallest eigenvalue  2
      trace                12 ± 0
      gradient descent is stable here up to lr 0.2 (2 / lambda)
      momentum 0.9 up to lr 0.38 (2 (1 + mu) / lambda)
    """
    stable_rate(1.0, momentum)  # raises when it is out of bounds
    hessian = curvature(here)
    return CurvatureReport(
        size=here.size,
        largest=tuple(top_eigenvalues(hessian, min(count, here.size), seed=seed).tolist()),
        smallest=sharpness(hessian, "smallest", seed=seed),
        gauss_newton=_gauss_newton(here, seed),
        trace=trace(hessian, samples, seed=seed),
        momentum=momentum,
        source=hessian.source,
    )


def sharpness(matrix: Curvature, end: str = "largest", *, seed: int = 0) -> float:
    """Return the largest eigenvalue, or the smallest.

    Args:
        matrix: From `curvature`.
        end: ``"largest"`` or ``"smallest"``.
        seed: Fixes the starting vector.
    """
    return float(top_eigenvalues(matrix, 1, end, seed=seed)[0])  # type: ignore[arg-type]


def _gauss_newton(here: Objective, seed: int) -> float | None:
    return None if here.model is None else sharpness(curvature(here, "gauss-newton"), seed=seed)


@dataclass(eq=False)
class SharpnessTrace:
    """Sharpness along a training: call `record` on the way.

    Args:
        model: The model that trains.
        loss: Its loss.
        batch: Inputs and targets on which it is looked at, always the same.
        matrix: Whose largest eigenvalue is recorded.

    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> batch = torch.tensor([[2.0]]), torch.tensor([[0.0]])
    >>> along = SharpnessTrace(model, torch.nn.MSELoss(), batch)
    >>> along.record(0)
    8.0
    """

    model: "nn.Module"
    loss: "Loss"
    batch: tuple
    matrix: Matrix = "hessian"
    _rows: list[tuple[int, float, float]] = field(default_factory=list)

    def record(self, step: int) -> float:
        """Record the sharpness after some steps, and return it.

        Raises:
            ModelError: The loss is not finite, or cannot be differentiated twice.
        """
        here = objective(self.model, self.loss, self.batch)
        value = sharpness(curvature(here, self.matrix))
        self._rows.append((step, value, stable_rate(value)))
        return value

    def frame(self) -> pd.DataFrame:
        """Return one row per record: ``step, sharpness, stable_rate`` of gradient descent."""
        return pd.DataFrame(self._rows, columns=["step", "sharpness", "stable_rate"])

    def plot(self, lr: float | None = None) -> "Figure":
        """Return the figure: sharpness by step, and with a rate the limit 2 / lr.

        Args:
            lr: Learning rate of the training.
        """
        table = self.frame()
        chart = plain_figure("step", "largest eigenvalue", showlegend=lr is not None)
        chart.add_scatter(x=table["step"], y=table["sharpness"], line=LINE, name="sharpness")
        if lr is not None:
            limit = [2 / lr] * len(table)
            chart.add_scatter(x=table["step"], y=limit, mode="lines", line=SECOND, name="2 / lr")
        return chart
