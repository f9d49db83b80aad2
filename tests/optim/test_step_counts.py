"""The number of steps in a state, whatever kind of number a checkpoint or a hand has put there."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import ravine.optim
from ravine.optim import Adam
from tests.optim.test_equals_torch import assert_same, both, give_gradients, twins

MADE = 3
KINDS = {
    "int64": torch.tensor(MADE),
    "uint8": torch.tensor(MADE, dtype=torch.uint8),
    "int": MADE,
    "float": float(MADE),
    "half": torch.tensor(MADE, dtype=torch.float16),
    "bfloat16": torch.tensor(MADE, dtype=torch.bfloat16),
    "double": torch.tensor(MADE, dtype=torch.float64),
}
BY_HAND = KINDS | {"one": torch.tensor([float(MADE)])}
OF_TORCH = pytest.mark.parametrize("name", ["Adam", "RAdam", "NAdam", "Adamax"])


@contextmanager
def double_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def stepped(name, rng):
    """Return ours and theirs after as many steps, with their weights."""
    weights = twins()
    optimizers = list(both(name, *weights, lr=0.05, weight_decay=0.1))
    with double_by_default():  # in which torch keeps the product of NAdam from then on
        step(weights, optimizers, rng, MADE)
    return weights, optimizers


def step(weights, optimizers, rng, count=4):
    for _ in range(count):
        give_gradients(*weights, rng)
        for optimizer in optimizers:
            optimizer.step()


def put(optimizer, value):
    for state in optimizer.state.values():
        state["step"] = copy.deepcopy(value)


def steps_of(optimizer):
    return [state["step"] for state in optimizer.state.values()]


@OF_TORCH
@pytest.mark.parametrize("kind", BY_HAND)
def test_training_goes_on_as_in_torch_from_any_number(name, kind):
    rng = np.random.default_rng(0)
    weights, (ours, theirs) = stepped(name, rng)
    put(ours, BY_HAND[kind])
    step(weights, (ours, theirs), rng)
    assert_same(*weights)
    wanted = torch.tensor(MADE + 4.0, dtype=torch.float64 if kind == "double" else torch.float32)
    for found in steps_of(ours):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@OF_TORCH
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_number_is_gone_on_from(name, kind):
    rng = np.random.default_rng(1)
    weights, (ours, theirs) = stepped(name, rng)
    saved = copy.deepcopy(ours.state_dict())
    for state in saved["state"].values():
        state["step"] = copy.deepcopy(KINDS[kind])
    ours.load_state_dict(saved)
    step(weights, (ours, theirs), rng)
    assert_same(*weights)


def test_one_state_alone_may_hold_another_kind_of_number():
    rng = np.random.default_rng(2)
    weights, (ours, theirs) = stepped("Adam", rng)
    for p, value in zip(weights[0], BY_HAND.values(), strict=False):
        ours.state[p]["step"] = copy.deepcopy(value)
    step(weights, (ours, theirs), rng)
    assert_same(*weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_counting_goes_on_where_the_kind_of_number_would_end(dtype):
    weight = nn.Parameter(torch.ones(3))
    optimizer = Adam([weight])
    weight.grad = torch.ones(3)
    optimizer.step()
    most = {torch.float16: 2048, torch.bfloat16: 256, torch.uint8: 255}[dtype]
    optimizer.state[weight]["step"] = torch.tensor(most, dtype=dtype)
    for _ in range(3):
        optimizer.step()
    assert optimizer.state[weight]["step"] == most + 3


def test_numbers_are_double_where_that_is_the_default():
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = ravine.optim.Adamax([weight])
    optimizer.step()
    with double_by_default():
        for value in (torch.tensor(7, dtype=torch.float32), 7, torch.tensor(7)):
            put(optimizer, value)
            for _ in range(2):
                optimizer.step()
            [found] = steps_of(optimizer)
            assert (found.dtype, float(found)) == (torch.float64, 9.0)


def test_true_put_there_by_hand_is_one_step():
    rng = np.random.default_rng(3)
    weights = twins()
    optimizers = list(both("Adam", *weights, lr=0.05))
    step(weights, optimizers, rng, 1)
    put(optimizers[0], torch.tensor(True))
    step(weights, optimizers, rng)
    assert_same(*weights)


def test_a_number_of_python_is_kept_where_the_default_dtype_is_short():
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = Adam([weight])
    optimizer.step()
    put(optimizer, 257.0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    assert steps_of(optimizer) == [258.0]
