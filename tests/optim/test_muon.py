"""Muon equals torch's; its iteration equals a polynomial of singular values."""

import numpy as np
import pytest
import torch

from ravine.optim._muon import NS_COEFFICIENTS, Muon, newton_schulz
from tests.optim.matrix_peers import (
    MATRICES,
    assert_exchanged,
    give,
    largest_difference,
    run_both,
    weights,
)

CASES = [
    {},
    {"lr": 0.05, "weight_decay": 0.2, "adjust_lr_fn": "match_rms_adamw"},
    {"lr": 0.05, "weight_decay": 0.2, "nesterov": False, "adjust_lr_fn": "original"},
    {"lr": 0.1, "momentum": 0.5, "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 3, "eps": 0.5},
    {"lr": torch.tensor(0.05, dtype=torch.float64), "nesterov": False, "weight_decay": 0.0},
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("settings", CASES)
def test_100_steps_equal_torch(settings, dtype):
    ours, theirs, _ = run_both(
        lambda p: Muon(p, **settings), lambda p: torch.optim.Muon(p, **settings), MATRICES, dtype
    )
    assert largest_difference(ours, theirs) <= 1e-12


def test_bfloat16_weights_equal_torch_with_nesterov():
    ours, theirs, _ = run_both(Muon, torch.optim.Muon, MATRICES, torch.bfloat16)
    assert largest_difference(ours, theirs) == 0


def test_bfloat16_momentum_is_kept_where_torch_normalises_it():
    """Without Nesterov torch's cast makes no copy, and its division falls on the momentum."""
    ours, theirs = weights([(4, 3)], torch.bfloat16), weights([(4, 3)], torch.bfloat16)
    mine = Muon(ours, momentum=0.5, nesterov=False)
    torchs = torch.optim.Muon(theirs, momentum=0.5, nesterov=False)
    give(torch.Generator().manual_seed(0), ours, theirs)
    for optimizer in (mine, torchs):
        optimizer.step()
    assert torch.equal(mine.state[ours[0]]["momentum_buffer"], ours[0].grad / 2)
    assert torchs.state[theirs[0]]["momentum_buffer"].norm().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("towards", ["ours", "theirs"])
def test_checkpoints_are_exchanged_with_torch(towards):
    settings = {"lr": 0.05, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    assert_exchanged(
        lambda p: Muon(p, **settings),
        lambda p: torch.optim.Muon(p, **settings),
        MATRICES,
        towards,
    )


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 6)])
def test_newton_schulz_is_a_polynomial_of_singular_values(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    a, b, c = NS_COEFFICIENTS
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.linalg.norm(matrix)
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    found = newton_schulz(torch.from_numpy(matrix), dtype=torch.float64)
    np.testing.assert_allclose(found.numpy(), u @ np.diag(s) @ v, rtol=0, atol=1e-13)


def test_newton_schulz_leaves_its_argument_and_survives_zeros():
    matrix = torch.zeros(3, 2, dtype=torch.bfloat16)
    assert torch.equal(newton_schulz(matrix), matrix)
    ones = torch.ones(2, 2, dtype=torch.bfloat16)
    newton_schulz(ones)
    assert torch.equal(ones, torch.ones(2, 2, dtype=torch.bfloat16))


@pytest.mark.parametrize("shape", [(3,), (), (2, 2, 2), (4, 3, 3, 3)])
def test_only_matrices_are_taken(shape):
    with pytest.raises(ValueError, match=r"must have 2 dimensions, got shape .*MuonWithAdamW"):
        Muon(weights([(2, 2), shape]))
    optimizer = Muon(weights([(2, 2)]))
    with pytest.raises(ValueError, match="must have 2 dimensions"):
        optimizer.add_param_group({"params": weights([shape])})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1"),
        ({"momentum": -0.1}, "momentum must be >= 0, got -0.1"),
        ({"weight_decay": float("nan")}, "weight_decay must be >= 0, got nan"),
        ({"ns_steps": 100}, r"ns_steps must be an integer in \[0, 99\], got 100"),
        ({"ns_steps": 2.5}, "ns_steps must be an integer"),
        ({"ns_coefficients": (1.0, 2.0)}, r"ns_coefficients must be 3 numbers, got \(1.0, 2.0\)"),
        ({"adjust_lr_fn": "mine"}, "function mine is not supported; adjust_lr_fn must be"),
        ({"nesterov": "yes"}, "nesterov must be one of True, False, got 'yes'"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        Muon(weights([(2, 2)]), **settings)
