"""Arguments of optimizers by `from_rule`: tensors, and tuples as torch's classes take them."""

import copy

import pytest
import torch
from torch import nn

import ravine.optim
from ravine.core.errors import SettingError
from ravine.optim import SAM, from_rule
from ravine.rules import get_rule, modifiers, rule


def weight():
    return nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))


def run(optimizers, steps=5, change=lambda step: None):
    """Give all the same gradients and return their weights."""
    for step in range(steps):
        change(step)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = torch.cos(torch.arange(7, dtype=torch.float64) + step)
            optimizer.step()
    return [optimizer.param_groups[0]["params"][0] for optimizer in optimizers]


def test_a_rate_in_a_tensor_is_read_anew_at_every_step():
    rate = torch.tensor(0.1, dtype=torch.float64)
    ours = from_rule(get_rule("adam"))([weight()], lr=rate)
    theirs = torch.optim.Adam([weight()], lr=rate)
    assert ours.param_groups[0]["lr"] is rate
    a, b = run([ours, theirs], change=lambda step: rate.mul_(0.5))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-14)
    schedule = torch.optim.lr_scheduler.ExponentialLR(ours, 0.5)
    before = rate.item()
    ours.step()
    schedule.step()
    assert ours.param_groups[0]["lr"] is rate
    assert rate.item() == before / 2


def test_betas_are_those_of_torch():
    ours = from_rule(get_rule("adam"))([weight()], lr=0.1, betas=(0.7, 0.8))
    theirs = torch.optim.Adam([weight()], lr=0.1, betas=(0.7, 0.8))
    a, b = run([ours, theirs])
    torch.testing.assert_close(a, b, rtol=0, atol=1e-14)
    assert [ours.param_groups[0][name] for name in ("beta1", "beta2")] == [0.7, 0.8]


def test_betas_in_tensors_are_read_anew_at_every_step():
    shares = tuple(torch.tensor(share, dtype=torch.float64) for share in (0.9, 0.99))
    ours = from_rule(modifiers.weight_decay(get_rule("adam")))([weight()], lr=0.1, betas=shares)
    theirs = ravine.optim.Adam([weight()], lr=0.1, betas=shares, weight_decay=1e-9)
    ours.param_groups[0]["weight_decay"] = 1e-9
    a, b = run([ours, theirs], change=lambda step: shares[0].mul_(0.9))
    assert torch.equal(a, b)


def test_three_betas_and_pairs_of_other_names():
    adan = from_rule(get_rule("adan"))([weight()], betas=(0.5, 0.6, 0.7))
    assert [adan.param_groups[0][f"beta{i}"] for i in (1, 2, 3)] == [0.5, 0.6, 0.7]
    rprop = from_rule(get_rule("rprop"))([weight()], etas=(0.4, 1.3), step_sizes=(1e-5, 2.0))
    group = rprop.param_groups[0]
    assert [group[n] for n in ("eta_minus", "eta_plus", "step_min", "step_max")] == [
        *(0.4, 1.3, 1e-5, 2.0)
    ]


def test_around_another_rule_too():
    optimizer = SAM([weight()], base=get_rule("adam"), betas=(0.5, 0.6), lr=torch.tensor(0.1))
    assert [optimizer.param_groups[0][name] for name in ("beta1", "beta2")] == [0.5, 0.6]
    assert isinstance(copy.deepcopy(optimizer).param_groups[0]["lr"], torch.Tensor)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("adam", {"betas": (0.9,)}, r"betas must be two numbers, got \(0.9,\)"),
        ("adam", {"betas": 0.9}, "betas must be two numbers, got 0.9"),
        ("adam", {"betas": (0.9, 1.0)}, r"beta2 must be in \[0, 1\), got 1.0"),
        ("adam", {"betas": (0.9, "x")}, r"betas\[1\] must be a number, got 'x'"),
        ("adam", {"betas": (0.9, 0.9), "beta1": 0.5}, "beta1 is given twice, also in betas"),
        ("adam", {"betas": (0.9, torch.tensor(0.9))}, "both floats or both Tensors"),
        ("adam", {"lr": torch.tensor([0.1, 0.2])}, r"lr must be one number, got shape \(2,\)"),
        ("adam", {"lr": torch.tensor(-1.0)}, "lr must be > 0, got -1.0"),
        ("sgd", {"betas": (0.9, 0.9)}, "unknown setting of sgd 'betas'"),
        ("lars", {"nu": torch.tensor(1.0)}, "unknown setting of lars 'nu'"),
    ],
)
def test_what_is_wrong_is_named(name, settings, message):
    with pytest.raises(SettingError, match=message):
        from_rule(get_rule(name))([weight()], **settings)


TEXT = """
def odd(w, g, {0}, *, lr=0.1, beta=0.9):
    {0} = beta * {0} + g
    return w - lr * {0}, {0}
"""


def steps_with_state_named(name, **precision):
    """Step by momentum over more than a page of weights; its state has this name."""
    written = {}
    exec(TEXT.format(name), written)
    torch.manual_seed(0)
    weights = nn.Parameter(torch.randn(2100))
    optimizer = from_rule(rule(state=(name,))(written["odd"]))([weights], **precision)
    for _ in range(3):
        weights.grad = torch.randn(2100)
        optimizer.step()
    return weights.detach()


@pytest.mark.parametrize("precision", [{}, {"state_dtype": "bfloat16"}, {"state_dtype": "int8"}])
@pytest.mark.parametrize("names", [("a", "code", "prefetch"), ("length", "real", "h0")])
def test_names_of_states_do_not_meet_those_of_the_compiled_code(names, precision):
    expected = steps_with_state_named("m", **precision)
    for name in names:
        assert torch.equal(steps_with_state_named(name, **precision), expected), name
