"""Arguments of the classes: torch's where torch has them, the rules' elsewhere."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import ravine.optim
from ravine.optim import from_rule
from ravine.optim._groups import hypers_of
from ravine.rules import get_rule, modifiers
from tests.optim.test_equals_torch import assert_same, give_gradients, twins

OF_TORCH = [
    *("SGD", "ASGD", "Rprop", "Adagrad", "Adadelta", "RMSprop"),
    *("Adam", "AdamW", "Adamax", "NAdam", "RAdam"),
]
DECAY = {"weight_decay": 0.1}
OURS = {
    "SignSGD": (("signsgd", "paper"), {}, {}),
    "AdaBelief": (("adabelief", None), {"betas": (0.8, 0.9), "eps": 1e-9}, {"eps": 1e-9}),
    "Yogi": (
        ("yogi", None),
        {"betas": (0.8, 0.9), "initial_accumulator_value": 0.1},
        {"initial_accumulator_value": 0.1},
    ),
    "Lion": (("lion", None), {"betas": (0.8, 0.9)} | DECAY, DECAY),
    "Adan": (("adan", None), {"betas": (0.8, 0.9, 0.7)} | DECAY, DECAY | {"beta3": 0.7}),
    "ADOPT": (("adopt", None), {"betas": (0.8, 0.9)}, {}),
    "AdEMAMix": (
        ("ademamix", None),
        {"betas": (0.8, 0.9, 0.99), "alpha": 2.0, "warmup": 5},
        {"beta3": 0.99, "alpha": 2.0, "warmup": 5},
    ),
    "NovoGrad": (("novograd", None), {"betas": (0.8, 0.9)} | DECAY, DECAY),
    "LARS": (
        ("lars", "nesterov"),
        {"momentum": 0.8, "nesterov": True, "trust_coefficient": 0.1} | DECAY,
        {"mu": 0.8, "trust_coefficient": 0.1} | DECAY,
    ),
    "LAMB": (("lamb", None), {"betas": (0.8, 0.9)} | DECAY, DECAY),
    "ScheduleFreeSGD": (
        ("schedule_free_sgd", None),
        {"momentum": 0.8, "warmup_steps": 3, "r": 1.0} | DECAY,
        {"beta": 0.8, "warmup_steps": 3, "r": 1.0} | DECAY,
    ),
    "ScheduleFreeAdamW": (
        ("schedule_free_adamw", None),
        {"betas": (0.8, 0.9), "weight_lr_power": 1.0} | DECAY,
        {"weight_lr_power": 1.0} | DECAY,
    ),
    "DAdaptSGD": (("dadapt_sgd", None), {"momentum": 0.5, "d0": 1e-2}, {"mu": 0.5, "d0": 1e-2}),
    "DAdaptAdam": (("dadapt_adam", None), {"betas": (0.8, 0.9), "d0": 1e-2}, {"d0": 1e-2}),
    "Prodigy": (
        ("prodigy", None),
        {"betas": (0.8, 0.9), "d_coef": 0.5, "growth_rate": 1.5} | DECAY,
        {"d_coef": 0.5, "growth_rate": 1.5, "beta3": 0.9**0.5} | DECAY,
    ),
}


@pytest.mark.parametrize("name", OF_TORCH)
def test_arguments_and_defaults_are_torchs(name):
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    mine = inspect.signature(getattr(ravine.optim, name)).parameters
    for argument, expected in theirs.items():
        found = mine[argument]
        assert (found.default, found.kind) == (expected.default, expected.kind), argument
    assert [a for a in mine if a in theirs] == list(theirs)
    more = [mine[a] for a in mine if a not in theirs]
    assert all(a.kind in (a.KEYWORD_ONLY, a.VAR_KEYWORD) for a in more)


@pytest.mark.parametrize("name", OURS)
def test_defaults_are_the_rules(name):
    rule = get_rule(*OURS[name][0])
    optimizer = getattr(ravine.optim, name)([nn.Parameter(torch.zeros(2))])
    assert hypers_of(optimizer.param_groups[0], rule) == dict(rule.hypers)


@pytest.mark.parametrize("name", OURS)
def test_a_class_steps_as_its_rule(name):
    (rule, convention), settings, hypers = OURS[name]
    if "betas" in settings:
        hypers = {"beta1": settings["betas"][0], "beta2": settings["betas"][1]} | hypers
    rng = np.random.default_rng(0)
    a, b = twins()
    mine = getattr(ravine.optim, name)(a, lr=0.05, maximize=True, **settings)
    plain = from_rule(modifiers.maximize(get_rule(rule, convention)))(b, lr=0.05, **hypers)
    for _ in range(6):
        give_gradients(a, b, rng)
        mine.step()
        plain.step()
    assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("name", OURS)
def test_checkpoints_copies_and_pickles_go_on(name):
    rng = np.random.default_rng(1)
    a, b = twins()
    optimizer = getattr(ravine.optim, name)(a, lr=0.05, **OURS[name][1])
    for _ in range(3):
        give_gradients(a, b, rng)
        optimizer.step()
    loaded = getattr(ravine.optim, name)(b, lr=0.5)
    with torch.no_grad():
        for p, q in zip(a, b, strict=True):
            q.copy_(p)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    copies = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer)), loaded]
    for _ in range(3):
        give_gradients(a, a, rng)
        for other in copies:
            for p, q in zip(a, other.param_groups[0]["params"], strict=True):
                q.grad = p.grad.clone()
            other.step()
        optimizer.step()
    for other in copies:
        assert_same(other.param_groups[0]["params"], a, 1e-14)


@pytest.mark.parametrize(
    ("name", "coupled"), [("AdaBelief", False), ("ADOPT", True), ("AdEMAMix", False)]
)
def test_decay_is_the_authors(name, coupled):
    """With a zero gradient coupled decay goes through the moments, decoupled decay does not."""
    weight = nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = getattr(ravine.optim, name)([weight], lr=0.1, weight_decay=0.5)
    for _ in range(2):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert (weight.tolist() == pytest.approx([0.95**2] * 2, rel=1e-12)) is not coupled


def quadratic(weight, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = (weight**2 * torch.tensor([1.0, 10.0, 0.1], dtype=weight.dtype)).sum()
        loss = loss + weight.prod()
        loss.backward()
        return loss

    return closure


def test_sam_equals_its_algorithm_written_out():
    a, b = (nn.Parameter(torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)) for _ in range(2))
    sam = ravine.optim.SAM([a], rho=0.1, lr=0.02, momentum=0.9, weight_decay=0.01)
    sgd = torch.optim.SGD([b], lr=0.02, momentum=0.9, weight_decay=0.01)
    losses = []
    for _ in range(10):
        losses.append((sam.step(quadratic(a, sam)).item(), quadratic(b, sgd)().item()))
        with torch.no_grad():
            climb = 0.1 * b.grad / b.grad.norm()
            b.add_(climb)
        quadratic(b, sgd)()
        with torch.no_grad():
            b.sub_(climb)
        sgd.step()
    assert_same([a], [b], 1e-12)
    assert all(x == pytest.approx(y, rel=1e-12) for x, y in losses)


def test_sams_norm_is_over_groups_whose_rules_differ():
    values = [torch.tensor([3.0], dtype=torch.float64), torch.tensor([4.0], dtype=torch.float64)]
    a, b = (nn.Parameter(v) for v in values)
    groups = [{"params": [a], "momentum": 0.9}, {"params": [b], "momentum": 0.0}]
    sam = ravine.optim.SAM(groups, rho=5.0, lr=1.0)
    seen = []

    def closure():
        sam.zero_grad()
        seen.append((a.item(), b.item()))
        (a**2 / 2 + b**2 / 2).backward()

    sam.step(closure)  # the gradient (3, 4) has norm 5: the second point is twice as far out
    assert seen[1] == pytest.approx((6.0, 8.0), rel=1e-12)
    assert (a.item(), b.item()) == pytest.approx((-3.0, -4.0), rel=1e-12)


def test_sam_puts_weights_back_when_the_closure_fails():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    sam = ravine.optim.SAM([weight], lr=0.1)
    calls = []

    def closure():
        calls.append(weight.tolist())
        if len(calls) == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sam.step(closure)
    assert calls[1] != calls[0] == weight.tolist()
    with pytest.raises(RuntimeError, match=r"step\(\) must get a closure: this rule takes"):
        sam.step()


@pytest.mark.parametrize("base", [ravine.optim.Adam, "adam", get_rule("adam")])
def test_lookahead_equals_its_algorithm_written_out(base):
    rng = np.random.default_rng(2)
    a, b = twins()
    ahead = ravine.optim.Lookahead(a, base, k=3, alpha=0.4, lr=0.05)
    adam = torch.optim.Adam(b, lr=0.05)
    slow = [p.detach().clone() for p in b]
    for step in range(1, 11):
        give_gradients(a, b, rng)
        ahead.step()
        adam.step()
        if step % 3 == 0:
            with torch.no_grad():
                for p, s in zip(b, slow, strict=True):
                    s.add_(0.4 * (p - s))
                    p.copy_(s)
    assert_same(a, b, 1e-12)
    with ahead.readout():
        assert_same(a, slow, 1e-12)
    assert_same(a, b, 1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o, w: o.SAM(w, rho=-1.0), "Invalid rho value: -1.0; rho must be >= 0, got -1.0"),
        (lambda o, w: o.SAM(w, base="adma"), "unknown optimizer 'adma'; did you mean"),
        (lambda o, w: o.SAM(w, base=3), "base must be a class of ravine.optim, a rule or the name"),
        (lambda o, w: o.SAM(w, base=o.Adadelta), "SAM and its base both have a setting 'rho'"),
        (lambda o, w: o.Lookahead(w, k=2.5), r"k must be an integer >= 1, got 2.5"),
        (lambda o, w: o.Lookahead(w, k=0), "k must be an integer >= 1, got 0"),
        (lambda o, w: o.Lookahead(w, alpha=0.0), r"alpha must be in \(0, 1\], got 0.0"),
        (lambda o, w: o.Lookahead(w, o.RMSprop), "Lookahead and its base both have a setting 'al"),
        (lambda o, w: o.ADOPT(w, eps=0.0), "eps must be > 0, got 0.0"),
        (lambda o, w: o.Adan(w, betas=(0.9, 0.9)), "betas must be three numbers, got"),
        (lambda o, w: o.Rprop(w, etas=(0.5, 0.9)), "Invalid eta values: 0.5, 0.9; etas.1. must be"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(ravine.optim, [nn.Parameter(torch.ones(2))])


@pytest.mark.parametrize("wrapper", ["SAM", "Lookahead"])
def test_wrappers_are_copied_and_pickled(wrapper):
    weight = nn.Parameter(torch.ones(3))
    optimizer = getattr(ravine.optim, wrapper)([weight], lr=0.1, momentum=0.9)
    optimizer.step(quadratic(weight, optimizer))
    for copied in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        [other] = copied.param_groups[0]["params"]
        copied.step(quadratic(other, copied))
        assert other.tolist() != weight.tolist()
    optimizer.step(quadratic(weight, optimizer))
    assert torch.equal(other, weight)


def test_every_class_is_exported_and_has_an_example():
    for name in ravine.optim.__all__:
        made = getattr(ravine.optim, name)
        if isinstance(made, type) and name != "RuleOptimizer":
            assert ">>>" in made.__doc__, name
            assert "Source:" in made.__doc__, name
