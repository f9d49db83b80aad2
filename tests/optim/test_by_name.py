"""Checkpoints of named parameters are matched by name."""

import copy

import pytest
import torch
from torch import nn

from ravine.optim import Adam


def named(*names, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = {name: torch.randn(2, generator=generator) for name in sorted(names)}
    return [(name, nn.Parameter(values[name].clone())) for name in names]


def stepped(optimizer, parameters):
    for i, (_, p) in enumerate(sorted(parameters)):
        p.grad = torch.full_like(p, 1.0 + i)
    optimizer.step()


@pytest.mark.parametrize("library", [Adam, torch.optim.Adam])
def test_a_reordered_model_loads_right(library):
    first, second = named("a", "b", "c"), named("c", "a", "b")
    saved, loaded = library(first, lr=0.1), Adam(second, lr=0.5)
    stepped(saved, first)
    loaded.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert loaded.param_groups[0]["param_names"] == ["c", "a", "b"]
    assert loaded.param_groups[0]["lr"] == 0.1
    for name, p in second:
        q = dict(first)[name]
        assert torch.equal(loaded.state[p]["exp_avg"], saved.state[q]["exp_avg"])
        with torch.no_grad():
            p.copy_(q)
    stepped(saved, first)
    stepped(loaded, second)
    assert all(torch.equal(p, dict(first)[name]) for name, p in second)


def test_a_parameter_may_have_moved_to_another_group():
    first, second = named("a", "b"), named("a", "b")
    saved = Adam([{"params": first[:1], "lr": 0.1}, {"params": first[1:], "lr": 0.2}])
    stepped(saved, first)
    loaded = Adam([{"params": [second[1]]}, {"params": [second[0]]}])
    loaded.load_state_dict(saved.state_dict())
    assert [group["lr"] for group in loaded.param_groups] == [0.1, 0.2]
    means = [loaded.state[dict(second)[n]]["exp_avg"].tolist() for n in "ab"]
    assert means == [pytest.approx([0.1] * 2), pytest.approx([0.2] * 2)]


def test_missing_and_unexpected_names_are_listed():
    saved = Adam(named("a", "old1", "old2")).state_dict()
    loaded = Adam(named("a", "new1", "new2"))
    message = "missing: new1, new2; unexpected: old1, old2"
    with pytest.raises(ValueError, match=message):
        loaded.load_state_dict(saved)
    with pytest.raises(ValueError, match="missing: new1; unexpected: none"):
        Adam(named("a", "new1")).load_state_dict(Adam(named("a")).state_dict())


def test_without_names_on_either_side_position_counts():
    first, second = named("a", "b"), named("b", "a")
    saved = Adam(first)
    stepped(saved, first)
    for state, parameters in (
        (Adam([p for _, p in first]), second),
        (saved, [p for _, p in second]),
    ):
        stepped(state, first)
        loaded = Adam(parameters)
        loaded.load_state_dict(copy.deepcopy(state.state_dict()))
        ours, theirs = loaded.param_groups[0]["params"][0], state.param_groups[0]["params"][0]
        assert torch.equal(loaded.state[ours]["exp_avg"], state.state[theirs]["exp_avg"])


def test_hooks_that_rename_run_before_names_are_matched():
    saved = Adam(named("module.a", "module.b")).state_dict()
    loaded = Adam(named("b", "a"))

    def strip(_, state):
        state = copy.deepcopy(state)
        for group in state["param_groups"]:
            group["param_names"] = [n.removeprefix("module.") for n in group["param_names"]]
        return state

    calls = []
    loaded.register_load_state_dict_pre_hook(strip)
    loaded.register_load_state_dict_post_hook(lambda _: calls.append("after"))
    loaded.load_state_dict(saved)
    assert loaded.param_groups[0]["param_names"] == ["b", "a"]
    assert calls == ["after"]
