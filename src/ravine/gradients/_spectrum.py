"""What products with a symmetric matrix tell: top eigenvalues, trace, density of the spectrum."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from scipy.special import ndtr
from scipy.stats import t as student

from ravine.core.errors import ModelError, SettingError, unknown
from ravine.core.seeding import rng
from ravine.gradients._curvature import Curvature
from ravine.gradients._spectrum_figure import density_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Which = Literal["largest", "smallest", "magnitude"]
_ARPACK = {"largest": "LA", "smallest": "SA", "magnitude": "LM"}
# Up to here all eigenvalues of the whole matrix cost less than Lanczos restarts.
_DENSE = 64


def top_eigenvalues(
    matrix: Curvature, count: int = 1, which: Which = "largest", *, seed: int = 0
) -> NDArray[np.float64]:
    """Return eigenvalues from one end of the spectrum, the outermost first.

    Lanczos' method by ARPACK, to half of the digits of the matrix's dtype; all eigenvalues of the
    whole matrix where it is small.

    Args:
        matrix: From `curvature`.
        count: Number of eigenvalues, 1..P.
        which: ``"largest"``, ``"smallest"`` (most negative) or ``"magnitude"``.
        seed: Fixes the starting vector.

    Raises:
        SettingError: The count does not fit the matrix, or the end is unknown.
        ModelError: Lanczos' method does not converge.

    >>> from ravine.gradients._curvature import curvature
    >>> from ravine.gradients._curvature_objective import objective_of
    >>> bowl = objective_of(lambda w: w[0] ** 2 + 5 * w[1] ** 2, torch.ones(2))
    >>> top_eigenvalues(curvature(bowl), 2).tolist()
    [10.0, 2.0]

    Source: Lehoucq, Sorensen & Yang 1998, ARPACK Users' Guide.
    """
    if which not in _ARPACK:
        raise unknown("end of the spectrum", str(which), _ARPACK)
    _check_count("count", count, 1, matrix.size)
    if matrix.size <= _DENSE or count > matrix.size // 2:
        return _outermost(np.linalg.eigvalsh(matrix.dense().double().numpy()), count, which)
    start = rng(seed, "lanczos").standard_normal(matrix.size)
    tolerance = torch.finfo(matrix.dtype).eps ** 0.5
    arpack = {"v0": start, "tol": tolerance, "return_eigenvectors": False}
    try:
        found = eigsh(matrix.to_scipy(), count, which=_ARPACK[which], **arpack)
    except ArpackNoConvergence as error:
        raise ModelError(
            f"Lanczos' method found {len(error.eigenvalues)} of {count} eigenvalues; ask for"
            " fewer, or convert the model and its data with .double()"
        ) from error
    return _outermost(found, count, which)


def _outermost(values: NDArray[np.float64], count: int, which: Which) -> NDArray[np.float64]:
    key = {"largest": -values, "smallest": values, "magnitude": -np.abs(values)}[which]
    return values[np.argsort(key, kind="stable")][:count]


@dataclass(frozen=True)
class Estimate:
    """A mean over random samples.

    Args:
        value: The mean.
        error: Half of its 95 % t interval; NaN for a single sample.
        samples: Their number.
    """

    value: float
    error: float
    samples: int

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.2g}"


def trace(matrix: Curvature, samples: int = 32, *, seed: int = 0) -> Estimate:
    r"""Estimate the trace with random signs.

    .. math:: \operatorname{tr} A \approx \frac1n \sum_i z_i^T A z_i, \quad z_i \in \{-1, 1\}^P

    Args:
        matrix: From `curvature`.
        samples: n, >= 2; the error falls as 1 / sqrt(n).
        seed: Fixes the signs.

    Raises:
        SettingError: There are fewer than two samples.

    Where few eigenvalues dominate, the samples are skewed and the error is too small: with three
    of 150 far out and 10 samples it held in 88 % of 300 runs.

    Source: Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix".
    """
    _check_count("samples", samples, 2, None)
    signs = _signs(matrix, samples, seed, "trace")
    values = np.array([float((matrix @ z).double() @ z.double()) for z in signs])
    spread = values.std(ddof=1) / np.sqrt(samples)
    return Estimate(float(values.mean()), float(student.ppf(0.975, samples - 1) * spread), samples)


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """Where the eigenvalues lie: a weighted sum of points, one set of points per probe.

    Args:
        values: Points on the axis of eigenvalues, [probes, steps].
        weights: Their shares, [probes, steps]; each row adds up to 1.
        size: Number P of eigenvalues.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    size: int

    def moment(self, power: int) -> float:
        """Return the mean of ``eigenvalue ** power`` over the spectrum."""
        return float((self.weights * self.values**power).sum(1).mean())

    @cached_property
    def _width(self) -> float:
        # Points of Lanczos' method lie about a range / steps apart where they are densest.
        span = np.ptp(self.values)
        return float(span / self.values.shape[1] / 2) or max(1e-12, 1e-3 * abs(self.values.max()))

    def frame(self, points: int = 400) -> pd.DataFrame:
        """Return ``eigenvalue, density, share_below`` on a grid, points widened to bells.

        Args:
            points: Rows of the frame.
        """
        margin = 4 * self._width
        grid = np.linspace(self.values.min() - margin, self.values.max() + margin, points)
        distance = (grid - self.values.reshape(-1, 1)) / self._width
        shares = self.weights.reshape(-1, 1) / len(self.weights)
        bells = np.exp(-0.5 * distance**2) / (np.sqrt(2 * np.pi) * self._width)
        columns = {
            "density": (shares * bells).sum(0),
            "share_below": (shares * ndtr(distance)).sum(0),
        }
        return pd.DataFrame({"eigenvalue": grid, **columns})

    def plot(self) -> "Figure":
        """Return the figure: density on a log scale, as a few eigenvalues lie far out."""
        return density_figure(self.frame(), self.size)


def spectral_density(
    matrix: Curvature, *, steps: int = 60, probes: int = 8, seed: int = 0
) -> SpectralDensity:
    """Estimate the density of the spectrum by stochastic Lanczos quadrature.

    Moments up to ``2 * steps - 1`` of every probe are exact; what is estimated is that a few
    random probes stand for all directions.

    Args:
        matrix: From `curvature`.
        steps: Steps of Lanczos' method per probe, >= 1; at most P are made.
        probes: Random vectors of signs, >= 1.
        seed: Fixes them.

    Raises:
        SettingError: A number is too small.

    Source: Golub & Welsch 1969; Ghorbani, Krishnan & Xiao 2019, arXiv:1901.10159, Algorithm 1.
    """
    _check_count("steps", steps, 1, None)
    _check_count("probes", probes, 1, None)
    runs = [
        _quadrature(matrix, z, min(steps, matrix.size))
        for z in _signs(matrix, probes, seed, "density")
    ]
    longest = max(len(values) for values, _ in runs)
    # A probe that has seen all of its directions ends early: its missing points weigh nothing.
    short = [(0, longest - len(values)) for values, _ in runs]
    values = np.array([np.pad(v, by, "edge") for (v, _), by in zip(runs, short, strict=True)])
    weights = np.array([np.pad(w, by) for (_, w), by in zip(runs, short, strict=True)])
    return SpectralDensity(values, weights, matrix.size)


def _quadrature(
    matrix: Curvature, start: torch.Tensor, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points and weights of Gauss' rule for one starting vector."""
    basis = [(start.double() / start.double().norm()).numpy()]
    diagonal: list[float] = []
    beside: list[float] = []
    tiny = torch.finfo(matrix.dtype).eps ** 0.75
    while True:
        product = (matrix @ torch.from_numpy(basis[-1])).double().numpy()
        diagonal.append(float(product @ basis[-1]))
        done = np.array(basis)
        for _ in range(2):  # once leaves what rounding brought back
            product = product - done.T @ (done @ product)
        length = float(np.linalg.norm(product))
        scale = max(map(abs, diagonal + beside))
        if len(diagonal) == steps or length <= tiny * scale:
            break
        beside.append(length)
        basis.append(product / length)
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
    return values, vectors[0] ** 2


def _signs(matrix: Curvature, count: int, seed: int, purpose: str) -> list[torch.Tensor]:
    random = rng(seed, purpose)
    signs = (random.integers(0, 2, matrix.size) * 2.0 - 1.0 for _ in range(count))
    return [torch.from_numpy(z).to(matrix.dtype) for z in signs]


def _check_count(name: str, value: int, least: int, most: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"{name} must be an integer >= {least}, got {value!r}")
    if most is not None and value > most:
        raise SettingError(f"{name} must be <= {most}, the size of the matrix, got {value}")
