"""Roots of products: split where the constant is positive, whole elsewhere."""

import numpy as np
import pytest
import sympy
import torch

from ravine.kernels import kernel, lower
from ravine.kernels._signs import positive, ranges_of
from ravine.rules import get_rule, rule, sqrt
from tests.kernels.cases import Model, kernel_step

BETA2, T, LR = sympy.symbols("beta2 t lr")


@pytest.mark.parametrize(
    "expression, known",
    [
        (1 / (1 - BETA2**T), True),
        (BETA2 * LR + T, True),
        (BETA2 * T, False),
        (T - 1, False),  # 0 at the first step, and the root of 0 times -1 is no number if split
        (BETA2 - 1, False),
        (LR - T, False),
        ((LR - T) ** 2, False),  # it cannot, but this is not found
        (sympy.Symbol("w") ** 2, False),
        (sympy.Abs(LR), False),
    ],
    ids=str,
)
def test_signs(expression, known):
    assert positive(expression, ranges_of(get_rule("adam"))) == known


def test_the_correction_of_adam_is_a_factor_of_the_root():
    [stage] = lower(get_rule("adam")).stages
    [root] = [line for line in stage.lines if "sqrt" in line]
    assert "*" not in root and any(
        line.startswith("r") and "sqrt" in line for line in stage.row_lines
    )


@pytest.mark.parametrize("bounds", ["(-inf, inf)", "[-2, 2]", "(-2.5, 0)"])
@pytest.mark.parametrize("factor, weight, root", [(-2.0, -8.0, 4.0), (-1.0, -9.0, 3.0)])
def test_a_negative_factor_stays_under_the_root(bounds, factor, weight, root):
    check_root(bounds, factor, weight, root)


def test_a_factor_of_zero_stays_under_the_root():
    check_root("[0, 1)", 0.0, -8.0, 0.0)


def check_root(bounds, factor, weight, root):
    @rule(bounds={"factor": bounds})
    def under(w, g, *, factor=factor, lr=0.1):
        return sqrt(factor * w) - lr * g

    hypers = under.check({"factor": factor})
    model = Model.random(under, np.random.default_rng(0), [(9,)], torch.float64, [hypers])
    model.weights[0].fill_(weight)
    kernel_step(kernel(under, torch.float64), [model], [[torch.zeros(9, dtype=torch.float64)]], [1])
    assert (model.weights[0] == root).all()
