"""The words of a formula on plain numbers and on torch tensors; NaN stays NaN in all of them."""

import math

import numpy as np
import pytest
import torch

from ravine.rules import absolute, exp, maximum, minimum, sign, sqrt, where

VALUES = [-math.inf, -2.5, -0.0, 0.0, 1.0, 7.25, math.inf, math.nan]
PAIRS = [(a, b) for a in VALUES for b in VALUES]


def same(ours: float, theirs: float) -> bool:
    return ours == theirs or (math.isnan(ours) and math.isnan(theirs))


@pytest.mark.parametrize(
    ("word", "numpys"), [(sqrt, np.sqrt), (absolute, np.abs), (exp, np.exp), (sign, np.sign)]
)
def test_functions_of_one_value(word, numpys):
    with np.errstate(invalid="ignore"):
        expected = numpys(np.array(VALUES))
    as_tensor = word(torch.tensor(VALUES, dtype=torch.float64))
    np.testing.assert_allclose(as_tensor.numpy(), expected, rtol=1e-15)
    for value, theirs in zip(VALUES, expected, strict=True):
        np.testing.assert_allclose(word(value), theirs, rtol=1e-15)


@pytest.mark.parametrize(("word", "numpys"), [(maximum, np.maximum), (minimum, np.minimum)])
def test_functions_of_two_values(word, numpys):
    a, b = (torch.tensor(column, dtype=torch.float64) for column in zip(*PAIRS, strict=True))
    np.testing.assert_array_equal(word(a, b).numpy(), numpys(a.numpy(), b.numpy()))
    assert all(same(word(x, y), numpys(x, y)) for x, y in PAIRS)


def test_a_number_takes_the_dtype_of_the_tensor_beside_it():
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = torch.tensor([0.05, 2.0], dtype=dtype)
        assert maximum(x, 0.1).dtype == dtype
        assert torch.equal(maximum(x, 0.1), torch.tensor([0.1, 2.0], dtype=dtype))
        assert where(x > 1, x, 0.0).dtype == dtype


def test_where_between_numbers_keeps_double_precision():
    picked = where(torch.tensor([True, False]), 0.1, 0.3)
    assert picked.tolist() == [0.1, 0.3]
    assert where(True, 1, 2) == 1
