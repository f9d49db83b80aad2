"""Ravine's optimizers beside torch's, at hard settings."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import ravine.optim

HARD = {"weight_decay": 0.1, "maximize": True}
CASES = {
    "SGD": [
        HARD,
        HARD | {"momentum": 0.8, "dampening": 0.3},
        HARD | {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.9},
    ],
    "Adagrad": [HARD | {"lr_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3}],
    "Adadelta": [HARD | {"rho": 0.7, "eps": 1e-4}],
    "RMSprop": [
        HARD | {"alpha": 0.8, "eps": 1e-3},
        HARD | {"centered": True, "alpha": 0.8},
        HARD | {"momentum": 0.7},
        HARD | {"centered": True, "momentum": 0.7, "eps": 1e-2},
    ],
    "Adam": [
        HARD | {"betas": (0.5, 0.8), "eps": 1e-3},
        HARD | {"amsgrad": True, "betas": (0.5, 0.8)},
        HARD | {"decoupled_weight_decay": True},
    ],
    "AdamW": [HARD | {"eps": 1e-4}, HARD | {"amsgrad": True, "betas": (0.5, 0.8)}],
}
PAIRS = [(name, settings) for name, cases in CASES.items() for settings in cases]
IDS = [f"{name}-{'-'.join(settings)}" for name, settings in PAIRS]
SHAPES = [(4, 3), (5,), (2, 3, 2), ()]


def twins(shapes=SHAPES, dtype=torch.float64, seed=0):
    """Return the same random parameters twice."""
    rng = np.random.default_rng(seed)
    values = [torch.from_numpy(np.asarray(rng.normal(size=s))).to(dtype) for s in shapes]
    return [nn.Parameter(v.clone()) for v in values], [nn.Parameter(v.clone()) for v in values]


def give_gradients(ours, theirs, rng):
    for a, b in zip(ours, theirs, strict=True):
        g = np.asarray(rng.normal(size=a.shape) * 10.0 ** rng.uniform(-2, 1))
        a.grad, b.grad = (torch.from_numpy(g.copy()).to(p) for p in (a, b))


def assert_same(ours, theirs, tolerance=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        scale = b.detach().abs().max().item() if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * scale)


def both(name, ours, theirs, **settings):
    yield getattr(ravine.optim, name)(ours, **settings)
    yield getattr(torch.optim, name)(theirs, foreach=False, **settings)


@pytest.mark.parametrize(("name", "settings"), PAIRS, ids=IDS)
def test_weights_and_states_equal_torch_over_100_steps_of_a_schedule(name, settings):
    rng = np.random.default_rng(1)
    ours, theirs = twins()
    optimizers = list(both(name, ours, theirs, lr=0.05, **settings))
    schedules = [lr_scheduler.CosineAnnealingLR(o, 100) for o in optimizers]
    for step in range(100):
        give_gradients(ours, theirs, rng)
        if step % 7 == 3:
            ours[1].grad = theirs[1].grad = None
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
    assert optimizers[0].param_groups[0]["lr"] == 0.0
    assert_same(ours, theirs)
    for a, b in zip(ours, theirs, strict=True):
        mine, torchs = (o.state[p] for o, p in zip(optimizers, (a, b), strict=True))
        assert mine.keys() == torchs.keys()
        assert_same([mine[key] for key in torchs], torchs.values())


@pytest.mark.parametrize(
    ("name", "settings"),
    [PAIRS[1], PAIRS[8]],
    ids=[IDS[1], IDS[8]],
)
def test_single_precision_equals_torch_to_rounding(name, settings):
    """One step at a time from the same numbers: a few units in the last place of each term."""
    rng = np.random.default_rng(2)
    ours, theirs = twins(dtype=torch.float32)
    mine, torchs = both(name, ours, theirs, lr=0.05, **settings)
    for _ in range(100):
        give_gradients(ours, theirs, rng)
        with torch.no_grad():
            for a, b in zip(ours, theirs, strict=True):
                a.copy_(b)
                for key in mine.state[a]:
                    mine.state[a][key].copy_(torchs.state[b][key])
        before = [b.detach().clone() for b in theirs]
        mine.step()
        torchs.step()
        for a, b, old in zip(ours, theirs, before, strict=True):
            # 8 roundings of terms no larger than the gradient, the weight and the step.
            size = old.abs() + (b - old).abs() + 0.05 * b.grad.abs()
            if name == "RMSprop":  # g / sqrt(v) is at most 1 / sqrt(1 - alpha)
                size = size + 0.05 / (1 - 0.99) ** 0.5
            assert ((a - b).abs() <= 8 * 2**-24 * size).all()


@pytest.mark.parametrize("name", CASES)
def test_defaults_and_settings_are_torchs(name):
    [ours], [theirs] = twins([(3,)])
    mine, torchs = (
        getattr(place.optim, name)([p]) for place, p in ((ravine, ours), (torch, theirs))
    )
    assert mine.defaults == torchs.defaults
    assert mine.state_dict()["param_groups"] == torchs.state_dict()["param_groups"]
    assert type(mine).__name__ == name
    assert isinstance(mine, torch.optim.Optimizer)


def test_groups_have_their_own_settings():
    rng = np.random.default_rng(3)
    ours, theirs = twins()
    made = []
    for place, p in ((ravine, ours), (torch, theirs)):
        groups = [
            {"params": p[:1], "lr": 0.3, "momentum": 0.0},
            {"params": p[1:3], "weight_decay": 0.2, "nesterov": True, "dampening": 0},
            {"params": p[3:], "maximize": True, "momentum": 0.5, "dampening": 0.4},
        ]
        made.append(place.optim.SGD(groups, lr=0.05, momentum=0.9, dampening=0.2))
    for step in range(30):
        give_gradients(ours, theirs, rng)
        for optimizer in made:
            optimizer.step()
            # Settings changed between steps, as schedules and callbacks do.
            optimizer.param_groups[2]["momentum"] = 0.5 + 0.01 * step
            optimizer.param_groups[0]["momentum"] = 0.9 if step > 10 else 0.0
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.2, total_steps=40),
        lambda o: lr_scheduler.LambdaLR(o, lambda k: 0.0 if k == 2 else 0.9**k),
        lambda o: lr_scheduler.StepLR(o, 10, 0.5),
        lambda o: lr_scheduler.SequentialLR(
            o,
            [lr_scheduler.LinearLR(o, 0.1, 1.0, 5), lr_scheduler.CosineAnnealingLR(o, 35)],
            [5],
        ),
    ],
    ids=["one cycle", "lambda", "steps", "warm-up"],
)
def test_schedulers_of_torch_drive_it(make):
    rng = np.random.default_rng(4)
    ours, theirs = twins()
    made = list(both("AdamW", ours, theirs, lr=0.1))
    schedules = [make(optimizer) for optimizer in made]
    for _ in range(39):
        give_gradients(ours, theirs, rng)
        for optimizer, schedule in zip(made, schedules, strict=True):
            optimizer.step()
            schedule.step()
    assert_same(ours, theirs)
    groups = [{k: v for k, v in o.param_groups[0].items() if k != "params"} for o in made]
    assert groups[0] | {"foreach": False} == groups[1]


def test_reduce_on_plateau_drives_it():
    [weight], _ = twins([(3,)])
    weight.grad = torch.ones_like(weight)
    optimizer = ravine.optim.SGD([weight], lr=0.5)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.1)
    for _ in range(3):
        optimizer.step()
        plateau.step(1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.005)


def test_a_tensor_may_hold_the_rate():
    rng = np.random.default_rng(5)
    ours, theirs = twins()
    lr = torch.tensor(0.1, dtype=torch.float64)
    made = list(both("Adam", ours, theirs, lr=lr))
    for step in range(10):
        give_gradients(ours, theirs, rng)
        lr.fill_(0.1 / (1 + step))
        for optimizer in made:
            optimizer.step()
    assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("name", "settings"), [PAIRS[1], PAIRS[2], PAIRS[4], PAIRS[5], PAIRS[9], PAIRS[12], PAIRS[14]]
)
def test_half_precision_is_torchs_single_precision_step_rounded(name, settings, dtype):
    rng = np.random.default_rng(6)
    ours, _ = twins([(6, 5), (3,)], dtype)
    wide = [nn.Parameter(p.detach().float()) for p in ours]
    mine, torchs = both(name, ours, wide, lr=0.05, **settings)
    unit = torch.finfo(dtype).eps
    for _ in range(30):
        give_gradients(ours, wide, rng)
        before = [p.detach().clone() for p in wide]
        for p, q in zip(ours, wide, strict=True):
            q.grad = p.grad.float()
        mine.step()
        torchs.step()
        with torch.no_grad():
            for p, q, old in zip(ours, wide, before, strict=True):
                assert p.dtype == dtype
                # Half a unit for rounding, half for the two single-precision steps' own.
                assert ((p.float() - q).abs() <= unit * torch.maximum(q.abs(), old.abs())).all()
                q.copy_(p)
                for key, value in mine.state[p].items():
                    torchs.state[q][key].copy_(value)


def test_half_precision_does_not_divide_by_a_vanished_eps():
    weight = nn.Parameter(torch.ones(3, dtype=torch.float16))
    weight.grad = torch.zeros_like(weight)  # torch's unfused step gives 0 / 0 here
    ravine.optim.Adam([weight], lr=0.1).step()
    assert weight.tolist() == [1.0] * 3


def test_training_a_model_ends_where_torch_ends():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    ours = nn.Sequential(*layers).double()
    theirs = copy.deepcopy(ours)
    x = torch.randn(16, 1, 8, 8, dtype=torch.float64)
    y = torch.randint(3, (16,))
    for model, place in ((ours, ravine), (theirs, torch)):
        optimizer = place.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
    assert_same(ours.parameters(), theirs.parameters(), 1e-9)
