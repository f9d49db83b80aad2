"""Optimizers inside programs: gradient scaling, several processes, torch's schedulers, wrappers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils

import ravine.optim
from ravine.optim import SGD, Adam
from tests.optim.test_equals_torch import assert_same, both, give_gradients, twins


def test_a_gradient_scaler_drives_it():
    rng = np.random.default_rng(0)
    ours, theirs = twins(dtype=torch.float32)
    made = list(both("Adam", ours, theirs, lr=0.05))
    scalers = [torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2) for _ in made]
    for step in range(8):
        give_gradients(ours, theirs, rng)
        for optimizer, scaler, parameters in zip(made, scalers, (ours, theirs), strict=True):
            for p in parameters:
                p.grad.mul_(scaler.scale(torch.ones(())))
            if step == 3:
                parameters[0].grad[0, 0] = torch.inf
            scaler.step(optimizer)
            scaler.update()
    assert [s.get_scale() for s in scalers] == [scalers[1].get_scale()] * 2
    assert made[0].state[ours[0]]["step"] == made[1].state[theirs[0]]["step"] == 7
    assert_same(ours, theirs, 1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=4),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
        lambda o: swa_utils.SWALR(o, swa_lr=0.02, anneal_epochs=4),
    ],
    ids=["cyclic", "restarts", "swa"],
)
def test_further_schedulers_drive_it(make):
    rng = np.random.default_rng(1)
    ours, theirs = twins()
    made = list(both("SGD", ours, theirs, lr=0.1, momentum=0.9))
    schedules = [make(optimizer) for optimizer in made]
    for _ in range(12):
        give_gradients(ours, theirs, rng)
        for optimizer, schedule in zip(made, schedules, strict=True):
            optimizer.step()
            schedule.step()
    assert_same(ours, theirs)
    again = SGD(made[0].param_groups)  # what schedulers wrote is known
    assert again.param_groups[0].keys() == made[0].param_groups[0].keys()


def _trained(rank, path, results):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{path}", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 2).double())
    optimizer = Adam(model.parameters(), lr=0.05)
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    for _ in range(5):
        optimizer.zero_grad()
        model(x[2 * rank : 2 * rank + 2]).square().mean().backward()
        optimizer.step()
    torch.save([p.detach() for p in model.parameters()], f"{results}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one(tmp_path):
    """DistributedDataParallel averages gradients; the step sees its buckets as gradients."""
    torch.multiprocessing.spawn(_trained, (tmp_path / "store", tmp_path), nprocs=2)
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    for _ in range(5):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    for rank in range(2):
        assert_same(torch.load(tmp_path / f"{rank}.pt"), list(model.parameters()), 1e-9)


class Plain(torch.Tensor):
    """A subclass that changes nothing."""


class Wrapper(torch.Tensor):
    """A wrapper that dispatches every operation itself."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, requires_grad=True)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise NotImplementedError


def test_subclasses_with_memory_step_and_wrappers_are_refused():
    weight = torch.ones(2).as_subclass(Plain).requires_grad_()
    weight.grad = torch.ones(2)
    optimizer = SGD([weight], lr=0.5)
    optimizer.step()
    optimizer.step()
    assert weight.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="must be plain tensors, got a Wrapper; give the local"):
        SGD([Wrapper(torch.ones(2))])


def test_sparse_and_integer_parameters_are_refused():
    with pytest.raises(ValueError, match=r"must be dense, got one of layout torch.sparse_coo"):
        SGD([torch.ones(2).to_sparse().requires_grad_()])
    with pytest.raises(ValueError, match=r"must be floating-point, got torch.int64"):
        SGD([torch.ones(2, dtype=torch.int64)])


def test_lazy_modules_may_be_given_before_their_shapes_are_known():
    model = nn.LazyLinear(2)
    optimizer = Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    assert optimizer.state[model.weight]["step"] == 3
    assert model.weight.shape == (2, 3)


def test_rates_of_many_groups_change_without_a_new_kernel(monkeypatch):
    rng = np.random.default_rng(2)
    ours, theirs = twins([(3,)] * 20)
    made = []
    for place, p in ((ravine.optim, ours), (torch.optim, theirs)):
        made.append(place.Adam([{"params": [w], "lr": 0.01 * i} for i, w in enumerate(p)]))
    for step in range(6):
        give_gradients(ours, theirs, rng)
        for optimizer in made:
            for i, group in enumerate(optimizer.param_groups):
                group["lr"] = 0.01 * (1 + i) / (1 + step)
            optimizer.step()
        if step == 1:
            monkeypatch.setattr("ravine.optim._optimizer.run", None)  # the long way is over
    assert_same(ours, theirs)
