"""The direction of a step: ``maximize`` is a bool or None, for every class that has it."""

import inspect

import pytest
import torch
from torch import nn

import ravine.optim

CLASSES = [
    name
    for name in ravine.optim.__all__
    if "maximize" in inspect.signature(getattr(ravine.optim, name)).parameters
]
EVERY = pytest.mark.parametrize("name", [*CLASSES, "SAM", "Lookahead"])


def made(name, **settings):
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    return getattr(ravine.optim, name)([weight], **settings), weight


def run(name, optimizer, weight, steps=2):
    def closure():
        weight.grad = torch.tensor([0.5, -3.0])
        return weight.sum()

    for _ in range(steps):
        optimizer.step(closure)
    return weight.tolist()


@EVERY
def test_none_descends(name):
    expected = run(name, *made(name, maximize=False), 4)
    optimizer, weight = made(name, maximize=None)
    run(name, optimizer, weight)
    optimizer.param_groups[0]["maximize"] = None  # again, after the first steps
    assert run(name, optimizer, weight) == expected
    assert run(name, *made(name, maximize=True), 4) != expected


@EVERY
def test_none_is_loaded(name):
    optimizer, weight = made(name, maximize=True)
    saved = made(name)[0].state_dict()
    saved["param_groups"][0]["maximize"] = None
    optimizer.load_state_dict(saved)
    assert run(name, optimizer, weight) == run(name, *made(name, maximize=False))


@EVERY
@pytest.mark.parametrize("given", [2, 1, 0, -1.0, "yes", torch.tensor(True), [True]])
def test_anything_else_is_refused(name, given):
    message = "maximize must be (True, False or None|a number), got"
    with pytest.raises(ValueError, match=message):
        made(name, maximize=given)
    optimizer, weight = made(name)
    saved = made(name)[0].state_dict()
    saved["param_groups"][0]["maximize"] = given
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["maximize"] is False
    optimizer.param_groups[0]["maximize"] = given
    with pytest.raises(ValueError, match=message):
        run(name, optimizer, weight)
