"""MuonWithAdamW in training scripts: hooks, closures, schedules, and refused checkpoints."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from ravine.optim import MuonWithAdamW
from tests.optim.matrix_peers import give, through_a_file


def test_hooks_of_every_optimizer_are_called_once_a_step():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = MuonWithAdamW(model)
    give(torch.Generator().manual_seed(0), list(model.parameters()))
    calls = []
    handles = [
        register_optimizer_step_pre_hook(lambda o, *_: calls.append(("before", o))),
        register_optimizer_step_post_hook(lambda o, *_: calls.append(("after", o))),
    ]
    try:
        optimizer.step()
    finally:
        for handle in handles:
            handle.remove()
    assert calls == [("before", optimizer), ("after", optimizer)]


def test_closure_hooks_and_zero_grad():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = MuonWithAdamW(model)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert first.item() > optimizer.step(closure).item()
    assert calls == ["before", "after"] * 2


def test_groups_may_hold_what_schedules_write_and_a_name():
    weights = [nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    written = {"name": "a", "initial_lr": 0.1, "max_lr": 0.1, "min_lr": 0.0, "swa_lr": 0.1}
    groups = [{"params": [w], "use_muon": i == 0, **written} for i, w in enumerate(weights)]
    optimizer = MuonWithAdamW(groups)
    optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    give(torch.Generator().manual_seed(0), weights)
    optimizer.step()
    assert all((w != 1).all() for w in weights)
    assert [group["swa_lr"] for group in optimizer.param_groups] == [0.1, 0.1]


def test_one_cycle_of_the_rate_works_and_of_the_momentum_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = MuonWithAdamW(model)
    with pytest.raises(ValueError, match="must support momentum or beta1 with `cycle_momentum`"):
        OneCycleLR(optimizer, [0.02, 0.01], total_steps=4)
    schedule = OneCycleLR(optimizer, [0.02, 0.01], total_steps=4, cycle_momentum=False)
    rates = []
    for _ in range(3):
        give(torch.Generator().manual_seed(0), list(model.parameters()))
        optimizer.step()
        schedule.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert max(rates) == pytest.approx([0.02, 0.01], rel=0.2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"lr": -5}, "lr must be >= 0, got -5"), ({"bogus": 1}, "unknown setting .* 'bogus'")],
)
@pytest.mark.parametrize("half", [0, 1])
def test_a_refused_checkpoint_changes_nothing(half, changed, message):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = MuonWithAdamW(model)
    give(torch.Generator().manual_seed(0), list(model.parameters()))
    optimizer.step()
    states = {p: dict(state) for p, state in optimizer.state.items()}
    saved = MuonWithAdamW(copy.deepcopy(model), lr=1.0, adamw_lr=1.0).state_dict()
    saved["param_groups"][half].update(changed)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 3e-4]
    assert states == dict(optimizer.state)


def test_a_checkpoint_that_lacks_newer_settings_gets_the_defaults():
    optimizer = MuonWithAdamW(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), ns_dtype="float32")
    old = optimizer.state_dict()
    del old["param_groups"][0]["ns_dtype"], old["param_groups"][1]["maximize"]
    optimizer.load_state_dict(old)
    assert optimizer.param_groups[0]["ns_dtype"] == "float32"
    assert optimizer.param_groups[1]["maximize"] is False
