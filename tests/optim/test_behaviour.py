"""Parameters of every kind, groups, closures, and the errors of optimizers."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import ravine.optim
from ravine.core.errors import SettingError
from ravine.optim import SGD, Adam, from_rule
from ravine.rules import get_rule, modifiers, rule
from tests.optim.test_equals_torch import assert_same, both, give_gradients, twins


def parameter(*values, dtype=torch.float32):
    made = nn.Parameter(torch.tensor(values, dtype=dtype))
    made.grad = torch.ones_like(made)
    return made


def test_parameters_of_any_layout_equal_torch():
    rng = np.random.default_rng(0)
    base = torch.from_numpy(rng.normal(size=(4, 6, 5, 3)))
    views = [
        base.to(memory_format=torch.channels_last),
        base[0].permute(2, 0, 1),
        base[:, ::2],
        base[1, 2, 3],
        base.new_empty(0, 3),
        base.sum(),
        base[:1, :, :1].expand(1, 6, 1, 3),
    ]
    ours, theirs = ([nn.Parameter(v.clone(memory_format=torch.preserve_format)) for v in views]
                    for _ in range(2))  # fmt: skip
    strided = [torch.from_numpy(rng.normal(size=(4, 8))) for _ in range(1)]
    ours.append(nn.Parameter(strided[0].clone()[:, ::2]))
    theirs.append(nn.Parameter(strided[0].clone()[:, ::2]))
    made = list(both("Adam", ours, theirs, lr=0.05, weight_decay=0.1))
    for step in range(10):
        give_gradients(ours, theirs, rng)
        if step % 2:  # gradients in another layout than their parameter
            for a, b in zip(ours, theirs, strict=True):
                a.grad, b.grad = a.grad.contiguous(), b.grad.contiguous()
        for optimizer in made:
            optimizer.step()
    assert_same(ours, theirs)


@pytest.mark.parametrize("size", [1, 2])
def test_negated_gradients_as_autograd_makes_them_are_read_right(size):
    """Contiguous ones of several elements, which autograd never makes, only a first step reads."""
    weight = nn.Parameter(torch.zeros(size))
    optimizer = SGD([weight], lr=0.5)
    weight.grad = torch._neg_view(torch.ones(size))
    optimizer.step()
    assert weight.tolist() == [0.5] * size
    for step in range(2, 5):
        weight.grad = torch.complex(torch.zeros(size), torch.ones(size)).conj().imag
        assert weight.grad.is_neg()
        optimizer.step()
        assert weight.tolist() == [0.5 * step] * size


def test_clipping_over_parameters_of_two_dtypes_uses_one_norm():
    rng = np.random.default_rng(1)
    ours, theirs = twins([(3, 2), (4,)])
    for each in (ours, theirs):
        each[0] = nn.Parameter(each[0].detach().float())
    optimizer = from_rule(modifiers.clip_global_norm(get_rule("sgd")))(ours, lr=0.1, max_norm=0.3)
    torchs = torch.optim.SGD(theirs, lr=0.1)
    for _ in range(5):
        give_gradients(ours, theirs, rng)
        nn.utils.clip_grad_norm_(theirs, 0.3)
        optimizer.step()
        torchs.step()
    assert_same(ours[:1], theirs[:1], 1e-6)
    assert_same(ours[1:], theirs[1:], 1e-7)


def test_parameters_of_two_dtypes_and_equal_sizes_do_not_share_a_plan():
    weights = [
        nn.Parameter(torch.zeros(70_000, dtype=dtype)) for dtype in (torch.float32, torch.float64)
    ]
    for w in weights:
        w.grad = torch.ones_like(w)
    SGD(weights, lr=0.5).step()
    assert all((w == -0.5).all() for w in weights)


def test_parameters_without_gradient_are_left_alone():
    trained, frozen, unused = parameter(1.0), parameter(1.0), parameter(1.0)
    frozen.requires_grad_(False)
    frozen.grad = unused.grad = None
    optimizer = Adam([{"params": [trained, frozen, unused]}, {"params": []}], lr=0.1)
    optimizer.step()
    assert (frozen.item(), unused.item()) == (1.0, 1.0)
    assert trained.item() < 1.0
    assert list(optimizer.state) == [trained]
    optimizer.zero_grad()
    before = trained.item()
    optimizer.step()
    assert trained.item() == before


def test_closure_is_evaluated_with_gradients():
    weight = parameter(3.0)
    optimizer = SGD([weight], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert weight.item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_changing_weights_between_forward_and_backward_is_noticed(dtype):
    """The kernel writes through addresses, which autograd's version counter does not see."""
    weight = parameter(3.0, dtype=dtype)
    optimizer = SGD([weight], lr=0.5)
    loss = (weight * weight).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("settled", [0, 2])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"lr": None}, "lr must be a number, got None"),
        ({"betas": (0.9, "x")}, r"betas\[1\] must be a number, got 'x'"),
        ({"state_dtype": "int9"}, "unknown state_dtype 'int9'"),
        ({"rounding_seed": -1}, "rounding_seed must be"),
    ],
)
def test_what_one_group_cannot_take_is_refused_before_any_group_steps(settled, change, message):
    first, second = parameter(1.0), parameter(1.0)
    groups = [{"params": [first], "weight_decay": 0.1}, {"params": [second], "amsgrad": True}]
    optimizer = Adam(groups, lr=0.1)
    for weight in (first, second):
        weight.grad = torch.ones_like(weight)
    for _ in range(settled):
        optimizer.step()
    before = copy.deepcopy(optimizer.state_dict()["state"])
    weights = first.item(), second.item()
    optimizer.param_groups[1].update(change)
    with pytest.raises(SettingError, match=message):
        optimizer.step()
    assert (first.item(), second.item()) == weights
    assert str(optimizer.state_dict()["state"]) == str(before)


def test_hooks_and_added_groups():
    weight, late = parameter(1.0), parameter(1.0)
    optimizer = SGD([weight], lr=0.5)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    optimizer.add_param_group({"params": [late], "lr": 0.25})
    optimizer.step()
    assert calls == ["before", "after"]
    assert (weight.item(), late.item()) == (0.5, 0.75)
    with pytest.raises(ValueError, match="lr must be >= 0, got -1"):
        optimizer.add_param_group({"params": [parameter(1.0)], "lr": -1.0})
    assert len(optimizer.param_groups) == 2


def test_named_parameters_and_groups_of_a_resumed_schedule():
    model = nn.Linear(2, 1)
    optimizer = Adam(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    SGD([{"params": model.parameters(), "initial_lr": 0.1}], lr=0.1)


def test_first_step_of_a_velocity_that_begins_late_is_not_dampened():
    """As in torch, where a velocity begins when momentum is first set."""
    rng = np.random.default_rng(2)
    ours, theirs = twins()
    made = list(both("SGD", ours, theirs, lr=0.1, dampening=0.5))
    for step in range(6):
        give_gradients(ours, theirs, rng)
        for optimizer in made:
            optimizer.param_groups[0]["momentum"] = 0.9 if step >= 2 else 0
            optimizer.step()
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("SGD", {"lr": -0.1}, r"lr must be >= 0, got -0.1"),
        ("SGD", {"lr": float("inf")}, r"lr must be >= 0, got inf"),
        ("SGD", {"lr": "0.1"}, r"lr must be a number, got '0.1'"),
        ("SGD", {"lr": torch.ones(2)}, r"lr must be one number, got shape \(2,\)"),
        ("SGD", {"momentum": -0.5}, r"momentum must be >= 0, got -0.5"),
        ("SGD", {"weight_decay": -1}, r"weight_decay must be >= 0, got -1"),
        ("SGD", {"nesterov": True}, r"nesterov=True must come with momentum > 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, r"dampening=0.1"),
        ("SGD", {"differentiable": True}, r"differentiable must be False, got True"),
        ("Adagrad", {"lr_decay": -1}, r"lr_decay must be >= 0, got -1"),
        ("Adagrad", {"initial_accumulator_value": -1}, r"initial_accumulator_value must be >= 0"),
        ("Adadelta", {"rho": 1.5}, r"rho must be in \[0, 1\], got 1.5"),
        ("RMSprop", {"alpha": -0.1}, r"alpha must be >= 0, got -0.1"),
        ("RMSprop", {"capturable": True}, r"capturable must be False, got True"),
        ("Adam", {"betas": (0.9, 1.0)}, r"betas\[1\] must be in \[0, 1\), got 1.0"),
        ("Adam", {"betas": (0.9,)}, r"betas must be two numbers, got \(0.9,\)"),
        ("Adam", {"betas": 0.9}, r"betas must be two numbers, got 0.9"),
        ("AdamW", {"eps": -1e-8}, r"eps must be >= 0, got -1e-08"),
    ],
)
def test_bad_settings_are_named_with_constraint_and_value(name, settings, message):
    with pytest.raises(ValueError, match=message):
        getattr(ravine.optim, name)([parameter(1.0)], **settings)
    with pytest.raises(ValueError, match=message):
        getattr(ravine.optim, name)([{"params": [parameter(1.0)], **settings}])


def test_implementations_of_torch_are_accepted_and_change_nothing():
    ends = []
    for settings in ({}, {"foreach": True}, {"fused": True}, {"foreach": False, "fused": False}):
        weight = parameter(1.0)
        Adam([weight], lr=0.1, **settings).step()
        ends.append(weight.item())
    assert len(set(ends)) == 1
    with pytest.raises(ValueError, match="fused and foreach must not both be True"):
        Adam([weight], fused=True, foreach=True)


def test_unknown_settings_are_errors_everywhere():
    with pytest.raises(TypeError, match="keyword argument 'momentun'; did you mean 'momentum'"):
        SGD([parameter(1.0)], momentun=0.9)
    with pytest.raises(ValueError, match="unknown setting of a parameter group 'momentun'"):
        SGD([{"params": [parameter(1.0)], "momentun": 0.9}])
    meant = "'learning_rate'; did you mean 'lr'[?]"
    with pytest.raises(TypeError, match=f"^unexpected keyword argument {meant}"):
        Adam([parameter(1.0)], learning_rate=0.9)
    with pytest.raises(ValueError, match=f"unknown setting of a parameter group {meant}"):
        Adam([{"params": [parameter(1.0)], "learning_rate": 0.9}])
    with pytest.raises(ValueError, match="unknown setting of sgd 'momentum'"):
        from_rule(get_rule("sgd"))([parameter(1.0)], momentum=0.9)
    with pytest.raises(ValueError, match="lr must be > 0, got 0"):
        from_rule(get_rule("sgd"))([parameter(1.0)], lr=0)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion", "LARS", "Prodigy", "SAM", "Lookahead"])
def test_a_setting_that_is_no_number_is_refused(name):
    with pytest.raises(ValueError, match=r"^lr must be a number, got None"):
        getattr(ravine.optim, name)([parameter(1.0)], lr=None)
    optimizer = Adam([parameter(1.0)])
    optimizer.param_groups[0]["betas"] = (None, 0.9)
    with pytest.raises(ValueError, match=r"^betas\[0\] must be a number, got None"):
        optimizer.step()


def test_sparse_and_complex_are_refused_before_anything_changes():
    weight, other = parameter(1.0, 2.0), parameter(1.0)
    weight.grad = torch.ones(2).to_sparse()
    optimizer = Adam([other, weight])
    with pytest.raises(RuntimeError, match="sparse gradients are not supported; use dense ones"):
        optimizer.step()
    assert other.item() == 1.0
    assert not optimizer.state
    with pytest.raises(ValueError, match="parameters must be real, got a complex one"):
        SGD([nn.Parameter(torch.ones(2, dtype=torch.complex64))])


def test_the_wrong_view_is_never_evaluated_or_trained_silently():
    weight = parameter(1.0)
    optimizer = from_rule(get_rule("nesterov", "lecture"))([weight], lr=0.5, gamma=0.5)
    with optimizer.readout():  # nothing has begun: both views are the same
        assert weight.item() == 1.0
    optimizer.step()
    stored, saved = weight.item(), optimizer.state_dict()
    with optimizer.readout():
        assert weight.item() == 0.5 != stored
        with pytest.raises(RuntimeError, match="must not be called inside readout"):
            optimizer.step()
        with pytest.raises(RuntimeError, match=r"state_dict\(\) must not be.*leave its block"):
            optimizer.state_dict()
        with pytest.raises(RuntimeError, match=r"load_state_dict\(\) must not be.*leave its block"):
            optimizer.load_state_dict(saved)
        with pytest.raises(RuntimeError, match="copy and pickle must not be"):
            copy.deepcopy(optimizer)
        with pytest.raises(RuntimeError, match="must not be nested"), optimizer.readout():
            pass
    assert weight.item() == stored
    with pytest.raises(ZeroDivisionError), optimizer.readout():
        1 / 0  # noqa: B018
    assert weight.item() == stored
    optimizer.step()


def test_a_rule_that_cannot_be_traced_is_refused_when_it_is_given():
    @rule()
    def branching(w, g, *, t, lr=0.1):
        return w if t > 1 else w - lr * g

    with pytest.raises(ValueError, match="no Python branches"):
        from_rule(branching)


def test_a_rule_without_state_counts_its_steps():
    @rule()
    def decaying(w, g, *, t, lr=1.0):
        return w - lr * g / t

    weight = parameter(0.0, dtype=torch.float64)
    optimizer = from_rule(decaying)([weight])
    for _ in range(3):
        optimizer.step()
    assert weight.item() == pytest.approx(-(1 + 1 / 2 + 1 / 3), rel=1e-15)


def test_step_counts_beyond_the_default_dtypes_precision():
    torch.set_default_dtype(torch.bfloat16)
    try:
        weight = nn.Parameter(torch.zeros(1, dtype=torch.float32))
        weight.grad = torch.ones_like(weight)
        optimizer = Adam([weight])
        for _ in range(300):
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    assert optimizer.state[weight]["step"].item() == 300  # bfloat16 would stay at 256
