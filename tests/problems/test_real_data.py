"""MNIST and Fashion-MNIST as distributed, in the folder that RAVINE_TEST_DATA names."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ravine.problems import Problem, load_data

pytestmark = pytest.mark.data


@pytest.fixture(scope="module", params=["mnist", "fashion-mnist"])
def data(request):
    named = os.environ.get("RAVINE_TEST_DATA")
    if named is None or not Path(named, request.param).is_dir():
        pytest.skip(f"RAVINE_TEST_DATA names no folder that holds {request.param}")
    return load_data(Path(named, request.param))


def test_as_published(data):
    assert data.name in ("mnist", "fashion-mnist")
    assert (tuple(data.x.shape), data.x.dtype) == ((70_000, 1, 28, 28), torch.uint8)
    assert (data.classes, data.official_test) == (10, 10_000)
    first, test = {
        "mnist": ([5, 0, 4, 1, 9], [7, 2, 1, 0, 4]),
        "fashion-mnist": ([9, 0, 0, 3, 0], [9, 2, 1, 1, 6]),
    }[data.name]
    assert data.y[:5].tolist() == first and data.y[60_000:60_005].tolist() == test
    # The mean and deviation of the training pixels that the literature normalises with.
    mean, deviation = {"mnist": (0.1307, 0.3081), "fashion-mnist": (0.2860, 0.3530)}[data.name]
    pixels = data.x[:60_000].numpy()
    assert pixels.mean(dtype=np.float64) / 255 == pytest.approx(mean, abs=5e-5)
    assert pixels.std(dtype=np.float64) / 255 == pytest.approx(deviation, abs=5e-5)


def test_as_a_problem(data):
    problem = Problem("mlp:128", data, batch=128)
    described = problem.describe()
    assert [described[part] for part in ("train", "validation", "test")] == [48_000, 12_000, 10_000]
    assert problem.epochs == 8  # 3000 steps at 375 an epoch
    split = problem.split(0)
    np.testing.assert_array_equal(split.test, np.arange(60_000, 70_000))
    train = data.x[split.train].numpy()
    assert float(split.shift) == pytest.approx(train.mean(dtype=np.float64), rel=1e-12)
    assert 1 / float(split.scale) == pytest.approx(train.std(dtype=np.float64), rel=1e-9)
    order = problem.order(0, 0, 128)
    assert order.shape == (375, 128) and set(order.flat) == set(split.train)
