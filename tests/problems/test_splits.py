"""Splits: disjoint, stratified, of one size for every seed; normalisation against NumPy."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from ravine.problems import Data
from ravine.problems._splits import largest_remainder, normalisation, split_rows


def uneven(official_test=0):
    labels = np.repeat([0, 1, 2, 3], [57, 31, 7, 1])
    labels = np.random.default_rng(3).permutation(labels)
    labels = np.concatenate([labels, np.arange(official_test) % 3])
    x = torch.arange(len(labels), dtype=torch.float32)[:, None]
    return Data("toy", x, torch.from_numpy(labels), official_test, classes=4)


def hamilton(counts, fraction: Fraction):
    """The largest-remainder method with exact fractions, one seat at a time."""
    quotas = [fraction * int(n) if n > 1 else Fraction(0) for n in counts]
    seats = [int(quota) for quota in quotas]
    while sum(seats) < round(sum(quotas)):
        remainders = [quota - seat for quota, seat in zip(quotas, seats, strict=True)]
        seats[remainders.index(max(remainders))] += 1
    return seats


def test_largest_remainder_against_exact_fractions():
    generator = np.random.default_rng(0)
    for _ in range(200):
        # Quarters are exact in binary, so that ties fall the same way in both.
        counts = generator.integers(0, 40, generator.integers(1, 12))
        assert largest_remainder(counts, 0.25).tolist() == hamilton(counts, Fraction(1, 4))


@pytest.mark.parametrize("official_test", [0, 12])
def test_parts_are_disjoint_complete_and_ascending(official_test):
    data = uneven(official_test)
    for seed in range(5):
        parts = split_rows(data, seed, 0.2)
        assert sorted(np.concatenate(parts)) == list(range(len(data.x)))
        assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
        if official_test:
            assert parts[2].tolist() == list(range(96, 108))


def test_sizes_per_class_are_the_same_for_every_seed_and_stratified():
    data = uneven()
    labels = data.y.numpy()
    # 20 % of 57, 31, 7, 1 are 11.4, 6.2, 1.4 and none, 19 in all: the remainder .4 of the first.
    test = [12, 6, 1, 0]
    # Of the 45, 25, 6, 1 left: 9, 5, 1.2 and none, 15 in all.
    validation = [9, 5, 1, 0]
    for seed in range(6):
        parts = split_rows(data, seed, 0.2)
        counts = [np.bincount(labels[part], minlength=4).tolist() for part in parts]
        assert counts == [[36, 20, 5, 1], validation, test]


def test_a_seed_fixes_the_split_and_another_gives_another():
    data = uneven()
    for once, again in zip(split_rows(data, 7, 0.2), split_rows(data, 7, 0.2), strict=True):
        np.testing.assert_array_equal(once, again)
    for one, other in zip(split_rows(data, 7, 0.2), split_rows(data, 8, 0.2), strict=True):
        assert set(one) != set(other)


def test_every_row_is_drawn_equally_often():
    data = Data("toy", torch.zeros(20, 1), torch.arange(20) % 2)
    hits = np.zeros(20)
    for seed in range(500):
        hits[split_rows(data, seed, 0.2)[2]] += 1
    # 500 draws at 1/5 each: 100 +- 8.9; five deviations leave one chance in 10^5 for 20 rows.
    assert hits.sum() == 2000 and abs(hits - 100).max() < 45


def test_fraction_zero_leaves_no_validation():
    train, validation, test = split_rows(uneven(12), 0, 0.0)
    assert (len(train), len(validation), len(test)) == (96, 0, 12)
    assert validation.dtype == np.int64


def test_float_targets_are_one_class():
    data = Data("toy", torch.zeros(103, 2), torch.zeros(103))
    assert [len(part) for part in split_rows(data, 0, 0.2)] == [66, 16, 21]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)])
def test_normalisation_against_numpy(dtype, shape):
    values = np.random.default_rng(1).uniform(0, 255, (3000, *shape))
    data = Data("toy", torch.from_numpy(values).to(dtype), torch.arange(3000) % 2)
    rows = split_rows(data, 0, 0.2)[0]
    shift, scale = normalisation(data, rows)
    train = data.x.numpy()[rows].astype(np.float64)
    over = (0, 2, 3) if len(shape) == 3 else 0
    assert shift.dtype == scale.dtype == torch.float64
    assert shift.shape == scale.shape == ((3, 1, 1) if len(shape) == 3 else (7,))
    np.testing.assert_allclose(shift.flatten().numpy(), train.mean(over), rtol=1e-12)
    np.testing.assert_allclose(scale.flatten().numpy(), 1 / train.std(over), rtol=1e-12)


def test_normalisation_reads_training_rows_only():
    data = uneven()
    rows = split_rows(data, 0, 0.2)[0]
    other = data.x.clone()
    other[np.setdiff1d(np.arange(len(other)), rows)] = 1e6
    changed = Data("toy", other, data.y, classes=4)
    for before, after in zip(normalisation(data, rows), normalisation(changed, rows), strict=True):
        assert torch.equal(before, after)


def test_constant_values_have_scale_one():
    x = torch.full((100, 3), 0.1)
    x[:, 2] = torch.arange(100)
    shift, scale = normalisation(Data("toy", x, torch.arange(100) % 2), np.arange(100))
    assert scale[:2].tolist() == [1.0, 1.0] and shift[0] == x[0, 0].double()
    assert scale[2] == pytest.approx(1 / np.arange(100).std(), rel=1e-12)
    images = Data("toy", torch.full((100, 2, 3, 3), 0.1), torch.arange(100) % 2)
    assert normalisation(images, np.arange(100))[1].flatten().tolist() == [1.0, 1.0]


def test_a_mean_far_from_zero_costs_no_digits():
    x = 1e7 + torch.from_numpy(np.random.default_rng(2).normal(size=(2000, 1)))
    _, scale = normalisation(Data("toy", x, torch.arange(2000) % 2), np.arange(2000))
    assert float(scale) == pytest.approx(1 / (x - 1e7).numpy().std(), rel=1e-9)
