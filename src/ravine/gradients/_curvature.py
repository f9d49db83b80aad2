"""Curvature matrices as operators: only their products with vectors are ever computed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from ravine.core.errors import SettingError, unknown
from ravine.core.seeding import rng
from ravine.gradients._curvature_library import library_product
from ravine.gradients._curvature_objective import Objective, flat
from ravine.gradients._curvature_products import (
    Product,
    gauss_newton_product,
    hessian_product,
)

Matrix = Literal["hessian", "gauss-newton"]
MATRICES: tuple[Matrix, ...] = ("hessian", "gauss-newton")
# 2,000 columns of float64 take 32 MB and a minute of a small network's products.
MOST_DENSE = 2000


@dataclass(frozen=True, eq=False)
class Curvature:
    """A symmetric matrix [P, P] known by its products.

    Args:
        size: P.
        dtype: In which products are computed.
        multiply: Flat vector [P] to flat vector [P].
        matrix: ``"hessian"`` or ``"gauss-newton"``.
        source: ``"curvlinops"``, ``"torch.func"`` or ``"double backward"``.
    """

    size: int
    dtype: torch.dtype
    multiply: Callable[[Tensor], Tensor]
    matrix: str
    source: str

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Return the product with a flat vector [P].

        Raises:
            SettingError: The vector has another shape.
        """
        if vector.shape != (self.size,):
            raise SettingError(
                f"vector must have shape ({self.size},), one entry per weight,"
                f" got {tuple(vector.shape)}"
            )
        return self.multiply(vector.to(self.dtype))

    def to_scipy(self) -> LinearOperator:
        """Return the same as SciPy's operator on float64 arrays."""

        def product(vector: np.ndarray) -> np.ndarray:
            given = torch.from_numpy(np.asarray(vector, np.float64).reshape(-1).copy())
            return (self @ given).double().numpy()

        return LinearOperator((self.size, self.size), matvec=product, dtype=np.float64)

    def dense(self, most: int = MOST_DENSE) -> Tensor:
        """Return the whole matrix [P, P], a product per column, made symmetric.

        Args:
            most: Largest P for which it is computed.

        Raises:
            SettingError: P is larger.
        """
        if self.size > most:
            raise SettingError(
                f"the full matrix of {self.size:,} weights would have {self.size**2:,} entries;"
                f" at most {most:,} weights are taken; use top_eigenvalues or trace"
            )
        columns = [self @ row for row in torch.eye(self.size, dtype=self.dtype)]
        whole = torch.stack(columns, dim=1)
        return (whole + whole.T) / 2


def curvature(here: Objective, matrix: Matrix = "hessian") -> Curvature:
    r"""Return the Hessian or the Gauss-Newton matrix at a point.

    .. math:: H = \nabla^2 L(w), \qquad G = J^T \, \nabla_s^2 \ell(s) \, J,
        \quad s = f(w),\ J = \partial s / \partial w

    G leaves out the curvature of the model itself; it is positive semi-definite where the loss is
    convex in the outputs, and equals H for a linear model. At a kink both are those of the side
    that autograd takes.

    Products come from curvlinops where it is installed, knows the loss (softmax cross-entropy,
    squared error, logistic) and agrees with the own product of a random vector. Otherwise they
    come from `torch.func`, or from two backward passes where an old-style ``autograd.Function``
    needs that.

    Args:
        here: The point, from `objective` or `objective_of`.
        matrix: ``"hessian"`` or ``"gauss-newton"``; the latter needs a model and a loss.

    Raises:
        SettingError: The matrix is unknown, or the function has no model.
        ModelError: The function cannot be differentiated twice.

    >>> from ravine.gradients._curvature_objective import objective_of
    >>> here = objective_of(lambda w: w[0] ** 2 * w[1], torch.tensor([1.0, 3.0]))
    >>> curvature(here).dense().tolist()
    [[6.0, 2.0], [2.0, 0.0]]

    Source: Pearlmutter 1994; Schraudolph 2002; Martens 2020, arXiv:1412.1193.
    """
    if matrix not in MATRICES:
        raise unknown("matrix", str(matrix), MATRICES)
    if matrix == "gauss-newton" and here.model is None:
        raise SettingError(
            "the Gauss-Newton matrix needs a model and a loss: make the point with objective(...),"
            " or take the Hessian"
        )
    product, source = _product(here, matrix)

    def multiply(vector: Tensor) -> Tensor:
        return flat(product(here.split(vector))).detach()

    return Curvature(here.size, here.dtype, multiply, matrix, source)


def _product(here: Objective, matrix: Matrix) -> tuple[Product, str]:
    own, source = (hessian_product if matrix == "hessian" else gauss_newton_product)(here)
    library = library_product(here, matrix)
    if library is not None and _agree(here, own, library):
        return library, "curvlinops"
    return own, source


def _agree(here: Objective, own: Product, library: Product) -> bool:
    """Whether two products agree on a random vector.

    curvlinops differentiates backward passes under ``vmap``, which torch 2.13 does wrongly for
    LayerNorm and for BatchNorm in training mode, and says nothing; the own products do not.
    """
    vector = torch.from_numpy(rng(0, "curvature").standard_normal(here.size)).to(here.dtype)
    first = flat(own(here.split(vector)))
    try:
        second = flat(library(here.split(vector)))
    except (RuntimeError, NotImplementedError, ValueError):
        return False  # a case it does not take
    near = torch.finfo(here.dtype).eps ** 0.5
    return bool((first - second).norm() <= near * first.norm())
