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

from ravine.optim import AdamW, MuonWithAdamW
from ravine.schedules import TorchSchedule, one_cycle
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


def test_one_cycle_of_momentum_by_ravines_scheduler_cycles_each_halfs_own():
    optimizer = MuonWithAdamW(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)))
    scheduler = TorchSchedule(optimizer, one_cycle(0.5, momentum=(0.8, 0.9)), 9)
    seen = []
    for _ in range(9):
        muon, adamw = optimizer.param_groups
        seen.append([muon["momentum"], adamw["betas"][0]])
        assert adamw["betas"][1] == 0.95
        optimizer.step()
        scheduler.step()
    wanted = []
    for setting in ({"momentum": 0.95}, {"betas": (0.9, 0.95)}):
        kind = torch.optim.AdamW if "betas" in setting else torch.optim.SGD
        theirs = kind([nn.Parameter(torch.ones(1))], lr=0.1, **setting)
        cycle = OneCycleLR(
            theirs, 0.1, total_steps=9, pct_start=0.5, base_momentum=0.8, max_momentum=0.9
        )
        wanted.append([])
        for step in range(9):
            group = theirs.param_groups[0]
            wanted[-1].append(group.get("momentum", group.get("betas", (0,))[0]))
            theirs.step()
            if step < 8:
                cycle.step()
    assert [list(column) for column in zip(*seen, strict=True)] == [
        pytest.approx(column, abs=1e-14) for column in wanted
    ]


@pytest.mark.parametrize("state_dtype", ["float32", "bfloat16", "int8"])
def test_states_of_adamws_half_are_stored_as_asked_and_equal_adamws(state_dtype):
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20)).bfloat16()
    other = copy.deepcopy(model)
    optimizer = MuonWithAdamW(model, adamw_state_dtype=state_dtype, adamw_lr=0.01)
    assert ["state_dtype" in group for group in optimizer.param_groups] == [False, True]
    theirs = [dict(other.named_parameters())[n] for n in ("0.bias", "1.weight", "1.bias")]
    alone = AdamW(theirs, 0.01, (0.9, 0.95), eps=1e-10, weight_decay=0.0, state_dtype=state_dtype)
    ours = optimizer.param_groups[1]["params"]
    generator = torch.Generator().manual_seed(0)
    for step in range(6):
        if step == 3:  # a checkpoint keeps every bit, and not the choice of storage
            saved = through_a_file(optimizer.state_dict())
            optimizer = MuonWithAdamW(model, adamw_state_dtype=state_dtype)
            optimizer.load_state_dict(saved)
        give(generator, list(model.parameters()), list(other.parameters()))
        for each in (optimizer, alone):
            each.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for a, b in zip(ours, theirs, strict=True):
        mine, its = optimizer.state[a], alone.state[b]
        assert mine.keys() == its.keys()
        assert all(torch.equal(mine[key], its[key]) for key in mine)
    plain = MuonWithAdamW(copy.deepcopy(model))
    plain.load_state_dict(optimizer.state_dict())
    assert "state_dtype" not in plain.param_groups[1]


def test_storage_is_refused_where_muon_steps_and_checked_elsewhere():
    weight = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match="state_dtype must be left out of a group with use_muon"):
        MuonWithAdamW([{"params": [weight], "use_muon": True, "state_dtype": "int8"}])
    with pytest.raises(ValueError, match="unknown state_dtype 'int4'"):
        MuonWithAdamW(nn.Linear(2, 2), adamw_state_dtype="int4")
    with pytest.raises(ValueError, match="param_rounding must be 'nearest' for weights in"):
        MuonWithAdamW([{"params": [weight], "use_muon": False, "param_rounding": "kahan"}])
