"""Adafactor equals torch's, and says what it refuses."""

import pytest
import torch

from ravine.optim._adafactor import Adafactor
from tests.optim.matrix_peers import (
    SHAPES,
    assert_exchanged,
    give,
    largest_difference,
    run_both,
    weights,
)

CASES = [
    {},
    {"lr": 0.1, "weight_decay": 0.3, "maximize": True},
    {"eps": (1e-3, 0.1), "d": 2.0, "beta2_decay": -0.5, "weight_decay": 0.01},
    {"lr": torch.tensor(0.05, dtype=torch.float64), "foreach": False},
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("settings", CASES)
def test_100_steps_equal_torch(settings, dtype):
    ours, theirs, _ = run_both(
        lambda p: Adafactor(p, **settings),
        lambda p: torch.optim.Adafactor(p, **settings),
        SHAPES,
        dtype,
    )
    assert largest_difference(ours, theirs) <= 1e-12


def test_foreach_changes_nothing():
    """torch's foreach step adds in another order: a few last bits, not more."""
    ours, theirs, _ = run_both(
        lambda p: Adafactor(p, lr=0.1, weight_decay=0.1, foreach=True),
        lambda p: torch.optim.Adafactor(p, lr=0.1, weight_decay=0.1, foreach=True),
        SHAPES,
    )
    assert largest_difference(ours, theirs) <= 1e-13


def test_rates_changed_by_a_schedule_equal_torch():
    ours, theirs = weights(SHAPES), weights(SHAPES)
    optimizers = Adafactor(ours, lr=0.1), torch.optim.Adafactor(theirs, lr=0.1)
    schedules = [torch.optim.lr_scheduler.ExponentialLR(o, 0.9) for o in optimizers]
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        give(generator, ours, theirs)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
    assert largest_difference(ours, theirs) <= 1e-12


@pytest.mark.parametrize("towards", ["ours", "theirs"])
def test_checkpoints_are_exchanged_with_torch(towards):
    assert_exchanged(
        lambda p: Adafactor(p, lr=0.05, weight_decay=0.1),
        lambda p: torch.optim.Adafactor(p, lr=0.05, weight_decay=0.1),
        SHAPES,
        towards,
    )


def test_first_step_by_hand():
    """t = 1 forgets everything before: R and C are the first gradient's own mean squares."""
    [weight] = weights([(2, 3)])
    start = weight.detach().clone()
    grad = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.25, -4.0]], dtype=torch.float64)
    weight.grad = grad.clone()
    Adafactor([weight], lr=0.5, d=1.0).step()
    square = grad**2
    estimate = square.mean(1, keepdim=True) * square.mean(0, keepdim=True) / square.mean()
    step = grad / estimate.sqrt()
    clipped = step / max(1.0, step.square().mean().sqrt().item())
    scale = start.square().mean().sqrt().item()
    assert torch.allclose(weight, start - 0.5 * scale * clipped, rtol=0, atol=1e-14)


def test_each_dtype_has_its_own_resolution():
    """torch takes the first parameter's epsilon for the rest of the group."""
    alone, [first, second] = weights([(3,)], torch.float64), weights([(3,), (3,)])
    first.data = first.data.float()
    second.data = alone[0].detach().clone()
    optimizers = Adafactor([first, second]), Adafactor(alone)
    for parameter in (first, second, *alone):
        parameter.grad = torch.full_like(parameter, 1e-8)  # between both resolutions
    for optimizer in optimizers:
        optimizer.step()
    assert torch.equal(second, alone[0])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"lr": torch.ones(2)}, r"lr must be one number, got shape \(2,\)"),
        ({"beta2_decay": 0.1}, r"beta2_decay must be in .*, got 0.1"),
        ({"d": 0.5}, "d must be >= 1, got 0.5"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0, got -0.1"),
        ({"eps": (-1.0, 1e-3)}, r"eps\[0\] must be >= 0, got -1"),
        ({"eps": (None, None)}, r"eps\[1\] must be a number, got None"),
        ({"eps": 1e-3}, "eps must be two numbers, got 0.001"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        Adafactor(weights([(2, 2)]), **settings)
