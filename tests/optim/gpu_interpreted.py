"""The GPU's launch inside an optimizer, its kernels interpreted on the CPU.

Run by `test_gpu_launch.py` in a process of its own; a GPU's parameters are stood in for by the
CPU's, which take the reference step and then the launch, as they would there.
"""

import copy
from unittest import mock

import numpy as np
import pytest
import torch

import ravine.optim
from ravine.optim import _gpu_launch, _long_way, _optimizer

SHAPES = [(4, 3), (5,), (), (1100,)]
CASES = [
    ("AdamW", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("NAdam", {}),
    ("LAMB", {"weight_decay": 0.1}),
    ("Prodigy", {"d0": 1e-2}),
]


@pytest.fixture(autouse=True)
def as_on_a_gpu():
    """Let every parameter count as one of a CUDA device."""
    with (
        mock.patch.object(_long_way, "kernel_can", lambda parameter: False),
        mock.patch.object(_optimizer, "gpu_can", lambda rule, leaves: True),
    ):
        yield


def parameters():
    rng = np.random.default_rng(0)
    return [torch.nn.Parameter(torch.from_numpy(np.asarray(rng.normal(size=s)))) for s in SHAPES]


def made(name, weights, settings):
    groups = [
        {"params": weights[:2], "lr": 0.03},
        {"params": weights[2:], "lr": 0.03 if name == "Prodigy" else 0.01},
    ]
    return getattr(ravine.optim, name)(groups, **settings)


def by_reference(name, settings, steps):
    """Run the same steps without any launch."""
    weights = parameters()
    optimizer = made(name, weights, settings)
    with mock.patch.object(_optimizer, "gpu_can", lambda rule, leaves: False):
        for step in range(steps):
            one_step(optimizer, weights, step)
    return weights, optimizer


def one_step(optimizer, weights, step):
    rng = np.random.default_rng(100 + step)
    for i, w in enumerate(weights):
        w.grad = torch.from_numpy(np.asarray(rng.normal(size=w.shape)))
        if i == 1 and step == 4:
            w.grad = None
    for group in optimizer.param_groups:
        group["lr"] *= 0.9
    optimizer.step()


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_equals_the_reference_through_changes_of_all_kinds(name, settings):
    weights = parameters()
    optimizer = made(name, weights, settings)
    launched = 0
    for step in range(9):
        before = next(iter(optimizer._launches.values()), None)
        one_step(optimizer, weights, step)
        launched += isinstance(before, _gpu_launch.GpuLaunch) and before in list(
            optimizer._launches.values()
        )
        if step == 6:  # a checkpoint, loaded into a copy that goes on
            saved = copy.deepcopy(optimizer.state_dict())
            weights = [torch.nn.Parameter(w.detach().clone()) for w in weights]
            optimizer = made(name, weights, settings)
            optimizer.load_state_dict(saved)
    # The first step, the one without a gradient, the one after it, and the first after loading.
    assert launched == 9 - 4
    theirs, other = by_reference(name, settings, 9)
    same(weights, theirs)
    for a, b in zip(weights, theirs, strict=True):
        for key, value in other.state[b].items():
            torch.testing.assert_close(
                torch.as_tensor(optimizer.state[a][key]).double(), torch.as_tensor(value).double()
            )


def test_a_weight_that_lies_elsewhere_now_is_found():
    weights = parameters()
    optimizer = made("AdamW", weights, {})
    for step in range(3):
        one_step(optimizer, weights, step)
    weights[0].data = weights[0].data.clone()
    one_step(optimizer, weights, 3)
    theirs, _ = by_reference("AdamW", {}, 4)
    same(weights, theirs)
