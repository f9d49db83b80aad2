"""Checkpoints: exchanged with torch in both directions, copied, pickled, moved."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import ravine.optim
from ravine.optim import SGD, Adagrad, Adam, AdamW, from_rule
from ravine.rules import get_rule, modifiers
from tests.optim.test_equals_torch import CASES, PAIRS, assert_same, both, give_gradients, twins

EXCHANGED = [(name, cases[-1]) for name, cases in CASES.items()] + [PAIRS[1], PAIRS[2], PAIRS[9]]


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("towards", ["ours", "theirs"])
@pytest.mark.parametrize(("name", "settings"), EXCHANGED)
def test_a_checkpoint_of_one_library_goes_on_in_the_other(name, settings, towards):
    rng = np.random.default_rng(0)
    ours, theirs = twins()
    optimizers = both(name, ours, theirs, lr=0.05, **settings)
    made = dict(zip(("ours", "theirs"), optimizers, strict=True))
    first, second = ("theirs", "ours") if towards == "ours" else ("ours", "theirs")
    weights = {"ours": ours, "theirs": theirs}
    for _ in range(10):
        give_gradients(ours, theirs, rng)
        made[first].step()
    checkpoint = through_a_file(made[first].state_dict())
    with torch.no_grad():
        for a, b in zip(weights[second], weights[first], strict=True):
            a.copy_(b)
    made[second].load_state_dict(checkpoint)
    for _ in range(10):
        give_gradients(ours, theirs, rng)
        made[first].step()
        made[second].step()
    assert_same(ours, theirs)
    mine, torchs = made["ours"].state_dict(), made["theirs"].state_dict()
    assert mine["param_groups"] == torchs["param_groups"]
    assert {i: s.keys() for i, s in mine["state"].items()} == {
        i: s.keys() for i, s in torchs["state"].items()
    }


def test_plain_descent_keeps_no_state():
    [weight], _ = twins([(3,)])
    weight.grad = torch.ones_like(weight)
    optimizer = SGD([weight], lr=0.1)
    optimizer.step()
    assert optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_alone(copier):
    [weight], [expected] = twins([(6,)])
    optimizer = Adam([weight], lr=0.1, weight_decay=0.1)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    copied = copier(optimizer)
    [other] = copied.param_groups[0]["params"]
    assert other is not weight
    for p, o in ((weight, optimizer), (other, copied)):
        p.grad = torch.full_like(p, 2.0)
        o.step()
    assert torch.equal(weight, other)
    torchs = torch.optim.Adam([expected], lr=0.1, weight_decay=0.1)
    for value in (1.0, 2.0):
        expected.grad = torch.full_like(expected, value)
        torchs.step()
    assert_same([other], [expected])


def test_optimizers_of_rules_are_copied_and_built_in_ones_pickled():
    [weight], _ = twins([(6,)])
    weight.grad = torch.ones_like(weight)
    clipped = from_rule(modifiers.clip_global_norm(get_rule("nesterov", "lecture")))
    for make in (clipped, from_rule(get_rule("nesterov", "lecture"))):
        optimizer = make([weight], gamma=0.5)
        optimizer.step()
        copied = copy.deepcopy(optimizer)
        copied.step()
        assert copied.param_groups[0]["params"][0] is not weight
        assert copied.param_groups[0]["gamma"] == 0.5
    again = pickle.loads(pickle.dumps(optimizer))
    again.step()
    [ours] = again.param_groups[0]["params"]
    assert torch.equal(ours, copied.param_groups[0]["params"][0])
    with pytest.raises(pickle.PicklingError, match="save a state_dict"):
        pickle.dumps(clipped([weight]))


def test_a_checkpoint_of_a_rule_restores_steps_and_groups():
    rng = np.random.default_rng(1)
    ours, other = twins()
    make = from_rule(modifiers.clip_global_norm(get_rule("adam", "lecture")))
    first, second = make(ours, max_norm=0.5), make(other, lr=0.5)
    for _ in range(5):
        give_gradients(ours, other, rng)
        first.step()
    with torch.no_grad():
        for a, b in zip(other, ours, strict=True):
            a.copy_(b)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    give_gradients(ours, other, rng)
    first.step()
    second.step()
    assert second.state[other[0]]["step"] == 6
    assert all(torch.equal(a, b) for a, b in zip(ours, other, strict=True))


def test_adamw_decays_decoupled_whatever_checkpoint_it_loads():
    [weight], [other] = twins([(3,)])
    optimizer = AdamW([weight])
    optimizer.load_state_dict(torch.optim.Adam([other], lr=0.3).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    assert optimizer.param_groups[0]["lr"] == 0.3


def test_a_checkpoint_that_lacks_newer_settings_gets_the_defaults():
    [weight], _ = twins([(3,)])
    optimizer = Adam([weight], amsgrad=True)
    old = optimizer.state_dict()
    for name in ("maximize", "amsgrad", "decoupled_weight_decay"):
        del old["param_groups"][0][name]
    optimizer.load_state_dict(old)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert optimizer.param_groups[0]["amsgrad"] is True


def test_a_checkpoint_may_ask_for_what_is_refused():
    [weight], [other] = twins([(3,)])
    optimizer = Adam([weight])
    saved = torch.optim.Adam([other], capturable=True).state_dict()
    with pytest.raises(ValueError, match=r"capturable must be False, got True, where"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"capturable": True}, "capturable must be False, got True"),
        ({"lr": -5}, "lr must be >= 0, got -5"),
        ({"betas": (0.9,)}, "betas must be two numbers"),
        ({"bogus": 1}, "unknown setting of a parameter group 'bogus'"),
    ],
)
def test_a_refused_checkpoint_changes_nothing(changed, message):
    [weight], [other] = twins([(3,)])
    made = Adam([weight], lr=0.1), torch.optim.Adam([other], lr=0.7)
    for p, optimizer in zip((weight, other), made, strict=True):
        for _ in range(2):
            p.grad = torch.ones_like(p)
            optimizer.step()
    saved = made[1].state_dict()
    saved["param_groups"][0].update(changed)
    before = copy.deepcopy(made[0].state_dict())
    with pytest.raises(ValueError, match=message):
        made[0].load_state_dict(saved)
    after = made[0].state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert after["state"].keys() == before["state"].keys() == {0}
    for key, value in before["state"][0].items():
        assert torch.equal(after["state"][0][key], value)


def test_groups_of_a_schedule_and_of_another_number_are_loaded_as_in_torch():
    [weight], [other] = twins([(3,)])
    optimizer, theirs = Adam([weight]), torch.optim.Adam([other])
    torch.optim.lr_scheduler.OneCycleLR(theirs, 0.5, total_steps=9)
    optimizer.load_state_dict(theirs.state_dict())
    assert optimizer.param_groups[0]["max_lr"] == 0.5
    two = torch.optim.Adam([{"params": [other]}, {"params": []}]).state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(two)


@pytest.mark.parametrize("settings", [{}, {"state_dtype": "bfloat16"}])
def test_a_velocity_that_is_none_begins_at_the_next_step(settings):
    """torch's SGD writes None for it while its momentum is 0."""
    weight, other = (nn.Parameter(torch.ones(3)) for _ in range(2))
    saved = torch.optim.SGD([other], lr=0.5, momentum=0.9, dampening=0.5).state_dict()
    saved["state"] = {0: {"momentum_buffer": None}}
    optimizer = SGD([weight], momentum=0.9, **settings)
    optimizer.load_state_dict(saved)
    for expected in (0.5, -0.2):  # velocities 1 and 0.9 + 0.5
        weight.grad = torch.ones(3)
        optimizer.step()
        assert weight.tolist() == pytest.approx([expected] * 3, abs=5e-3 if settings else 1e-6)


@pytest.mark.parametrize(("settings", "after"), [({}, 0), ({}, 1), ({"state_dtype": "int8"}, 1)])
def test_adagrads_shared_sums_stay_shared_over_steps(settings, after):
    [weight], _ = twins([(300,)])
    optimizer = Adagrad([weight], **settings)
    for step in range(3):
        if step == after:
            optimizer.share_memory()
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    shared = {key for key, value in optimizer.state[weight].items() if value.is_shared()}
    assert shared == optimizer.state[weight].keys() - {"step"}


def test_a_state_of_another_shape_is_refused():
    [weight], _ = twins([(3,)])
    [narrow], _ = twins([(1,)])
    for p in (weight, narrow):
        p.grad = torch.ones_like(p)
    made = Adam([weight]), Adam([narrow])
    for optimizer in made:
        optimizer.step()
    with pytest.raises(ValueError, match=r"must have the shape \(3,\).*got \(1,\)"):
        made[0].load_state_dict(made[1].state_dict())
    made[0].state[weight] = made[1].state[narrow]  # by hand, which no loader sees
    with pytest.raises(RuntimeError, match=r"must have the shape \(3,\).*got \(1,\)"):
        made[0].step()


def test_a_state_of_another_layout_or_dtype_is_laid_out_anew():
    """A checkpoint knows no memory format, and a model may be moved between steps."""
    rng = np.random.default_rng(2)
    ours, theirs = twins([(2, 3, 4, 5)])
    ours = [nn.Parameter(ours[0].detach().to(memory_format=torch.channels_last))]
    mine, torchs = both("Adam", ours, theirs, lr=0.05)
    give_gradients(ours, theirs, rng)
    torchs.step()
    with torch.no_grad():
        ours[0].copy_(theirs[0])
    mine.load_state_dict(copy.deepcopy(torchs.state_dict()))
    assert mine.state[ours[0]]["exp_avg"].stride() != ours[0].stride()
    for step in range(4):
        give_gradients(ours, theirs, rng)
        mine.step()
        torchs.step()
        if step == 1:
            ours[0].data = ours[0].data.contiguous()
    assert_same(ours, theirs)
    assert mine.state[ours[0]]["exp_avg"].stride() == ours[0].stride()

    ours[0].data = ours[0].data.float()
    ours[0].grad = torch.ones_like(ours[0])
    mine.step()
    assert mine.state[ours[0]]["exp_avg"].dtype == torch.float32


def test_adagrad_starts_from_its_initial_value_in_every_group():
    a, b = twins([(2,)])
    groups = [{"params": a}, {"params": b, "initial_accumulator_value": 4.0}]
    optimizer = Adagrad(groups, lr=1.0, initial_accumulator_value=0.25, eps=0.0)
    for p in (*a, *b):
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert optimizer.state[a[0]]["sum"].tolist() == [0.25] * 2
    assert optimizer.state[b[0]]["sum"].tolist() == [4.0] * 2


def test_every_class_is_exported():
    assert set(CASES) <= set(ravine.optim.__all__)
