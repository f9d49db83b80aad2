"""Schedules as torch's schedulers, over Ravine's optimizers and torch's."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as theirs

import ravine.optim
from ravine.core.errors import SettingError
from ravine.schedules import TorchSchedule, cosine, get_schedule, one_cycle
from tests.schedules.driving import EVERY_KIND, rates, rates_of, sgd


def _weights(count=1):
    return [torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(count)]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_rates_are_the_schedule_s(name):
    optimizer = sgd(0.3)
    found = rates_of(optimizer, TorchSchedule(optimizer, EVERY_KIND[name], 90), 90)
    assert found.tolist() == rates(EVERY_KIND[name], 90, 0.3).tolist()


@pytest.mark.parametrize("kind", [torch.optim, ravine.optim])
@pytest.mark.parametrize(
    ("make", "read"),
    [
        (lambda k, w: k.SGD(w, 0.3, momentum=0.9), lambda g: g["momentum"]),
        (lambda k, w: k.Adam(w, 0.3, betas=(0.8, 0.99)), lambda g: g["betas"]),
        (lambda k, w: k.AdamW(w, torch.tensor(0.25), betas=(0.8, 0.99)), lambda g: g["betas"]),
    ],
)
def test_one_cycle_trains_as_under_torch_s(kind, make, read):
    """Weights, rates and momenta of whole runs, with gradients that change."""
    runs = []
    for schedule in (
        lambda o: TorchSchedule(o, one_cycle(0.4), 60),
        lambda o: theirs.OneCycleLR(o, float(o.param_groups[0]["lr"]), 60, pct_start=0.4),
    ):
        weights = _weights()
        optimizer = make(kind, weights)
        scheduler, seen = schedule(optimizer), []
        for step in range(60):
            weights[0].grad = (
                torch.tensor([1.0, -0.1]).double() * np.cos(step) + weights[0].detach()
            )
            group = optimizer.param_groups[0]
            seen.append(np.hstack([float(group["lr"]), read(group), weights[0].detach()]))
            optimizer.step()
            if step < 59:
                scheduler.step()
        runs.append(np.array(seen))
    np.testing.assert_allclose(*runs, rtol=1e-12, atol=1e-12)
    assert np.ptp(runs[0][:, 1]) > 0.09


def test_plain_descent_gets_no_momentum():
    optimizer = ravine.optim.SGD(_weights(), lr=0.3)
    scheduler = TorchSchedule(optimizer, one_cycle(), 10)
    assert (rates_of(optimizer, scheduler, 10, lambda group: group["momentum"]) == 0).all()


@pytest.mark.parametrize("kind", [torch.optim, ravine.optim])
def test_groups_keep_their_own_bases(kind):
    first, second = _weights(2)
    groups = [{"params": [first], "lr": 0.5}, {"params": [second], "momentum": 0.5}]
    optimizer = kind.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)

    def halved(step, total, base):
        return {name: base[name] * 0.5**step for name in ("lr", "momentum", "weight_decay")}

    scheduler = TorchSchedule(optimizer, halved, 10)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    assert scheduler.get_last_lr() == [0.5 / 8, 0.1 / 8]
    for group, base in zip(optimizer.param_groups, (0.9, 0.5), strict=True):
        assert (group["momentum"], group["weight_decay"]) == (base / 8, 0.01 / 8)


def test_a_rate_in_a_tensor_stays_that_tensor():
    rate = torch.tensor(0.5, dtype=torch.float64)
    optimizer = torch.optim.SGD(_weights(), lr=rate)
    scheduler = TorchSchedule(optimizer, "linear", 10)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(0.45, rel=1e-15)


@pytest.mark.parametrize("name", ["onecycle", "sequence"])
def test_runs_go_on_from_a_checkpoint(name):
    schedule = EVERY_KIND[name]
    whole = ravine.optim.Adam(_weights(), lr=0.3)
    wanted = rates_of(whole, TorchSchedule(whole, schedule, 80), 80, lambda g: g["betas"][0])
    first = ravine.optim.Adam(_weights(), lr=0.3)
    scheduler = TorchSchedule(first, schedule, 80)
    rates_of(first, scheduler, 33)
    file = io.BytesIO()
    torch.save([first.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    second = ravine.optim.Adam(_weights(), lr=0.123, betas=(0.1, 0.2))
    again = TorchSchedule(second, schedule, 80)
    second.load_state_dict(states[0])
    again.load_state_dict(states[1])
    assert again.last_epoch == 33
    assert again.get_last_lr() == scheduler.get_last_lr()
    found = rates_of(second, again, 47, lambda g: g["betas"][0])
    assert found.tolist() == wanted[33:].tolist()


def test_runs_go_on_from_a_step():
    optimizer = sgd(0.3)
    optimizer.param_groups[0]["initial_lr"] = 0.3
    scheduler = TorchSchedule(optimizer, cosine, 80, last_epoch=32)
    assert scheduler.get_last_lr() == [float(cosine(33, 80, {"lr": 0.3})["lr"])]


def test_schedulers_are_copied():
    optimizer = torch.optim.Adam(_weights(), lr=0.3)
    scheduler = TorchSchedule(optimizer, "warmup:10+cosine", 80)
    rates_of(optimizer, scheduler, 1)  # a copy before it warns, as those of torch's do
    for copied in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        copied.optimizer.step()
        copied.step()
        assert copied.get_last_lr() == pytest.approx([0.3 * (0.1 + 0.9 * 0.2)], rel=1e-15)
    assert scheduler.last_epoch == 1


def test_it_is_a_part_of_torch_s_compositions():
    optimizer = sgd(0.3)
    chained = theirs.SequentialLR(
        optimizer,
        [TorchSchedule(optimizer, "linear:0.5", 10), TorchSchedule(optimizer, "cosine", 20)],
        [10],
    )
    wanted = rates(get_schedule("linear:0.5@10+cosine"), 30, 0.3)
    assert rates_of(optimizer, chained, 30).tolist() == wanted.tolist()


def test_steps_beyond_the_end():
    optimizer = sgd(0.3)
    scheduler = TorchSchedule(optimizer, "linear", 3)
    rates_of(optimizer, scheduler, 3)
    with pytest.raises(SettingError, match=r"total_steps must be .* got 3 at step 4; give"):
        scheduler.step()


def test_groups_added_later():
    optimizer = torch.optim.SGD(_weights(), lr=0.3)
    scheduler = TorchSchedule(optimizer, "linear", 3)
    optimizer.add_param_group({"params": _weights()})
    optimizer.step()
    with pytest.raises(SettingError, match=r"must keep the 1 groups .* got 2; make a new"):
        scheduler.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TorchSchedule(sgd(0.1), "cosin", 10), "did you mean 'cosine'"),
        (lambda: TorchSchedule(sgd(0.1), cosine, 0), "total_steps must be an integer >= 1, got 0"),
        (lambda: TorchSchedule(sgd(0.1), "warmup:9+cosine", 9), "within 9 steps"),
        (lambda: TorchSchedule(_weights()[0], cosine, 9), "optimizer must be a torch.optim.Opti"),
        *(
            (lambda kind=kind: TorchSchedule(kind(_weights()), cosine, 9), f"got {kind.__name__}")
            for kind in (ravine.optim.LevenbergMarquardt, ravine.optim.NewtonTrustRegion)
        ),
        (
            lambda: TorchSchedule(sgd(0.1), lambda step, total, base: {"nu": 1.0}, 9),
            "unknown hyper-parameter of a group 'nu'",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(SettingError, match=message):
        make()
