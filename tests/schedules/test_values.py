"""Schedules by what they promise: arrays, shares, ends and the values they leave alone."""

import numpy as np
import pytest

from ravine.schedules import (
    constant,
    cosine,
    cosine_restarts,
    linear,
    multi_step_decay,
    one_cycle,
    product,
    sequence,
    step_decay,
    warmup,
    warmup_stable_decay,
)
from tests.schedules.driving import EVERY_KIND, rates


@pytest.mark.parametrize("name", EVERY_KIND)
@pytest.mark.parametrize("steps", [97, 1000])
def test_members_and_steps_at_once_have_the_bits_of_one_by_one(name, steps):
    schedule = EVERY_KIND[name]
    lrs, momenta = np.array([0.1, 1.0, 0.013]), np.array([0.9, 0.0, 0.5])
    done = np.arange(0, steps - 20, 3)[:, None] + np.array([0, 3, 17])
    table = schedule(done, steps, {"lr": lrs, "momentum": momenta})
    for row in range(len(done)):
        for column in range(3):
            base = {"lr": lrs[column], "momentum": momenta[column]}
            alone = schedule(int(done[row, column]), steps, base)
            assert alone.keys() == table.keys()
            for key, value in alone.items():
                assert np.ndim(value) == 0
                assert np.broadcast_to(table[key], done.shape)[row, column] == value


@pytest.mark.parametrize("name", EVERY_KIND)
def test_rates_have_the_same_bits_in_any_stretch_of_steps(name):
    schedule, whole = EVERY_KIND[name], rates(EVERY_KIND[name], 997, 0.1)
    for start in range(0, 900, 37):
        for length in (1, 2, 3, 7, 8, 50):
            done = np.arange(start, start + length)
            parts = schedule(done[:, None], 997, {"lr": np.full(3, 0.1)})["lr"]
            assert (parts == whole[done][:, None]).all()


@pytest.mark.parametrize("name", EVERY_KIND)
def test_base_values_and_steps_are_only_read(name):
    base = {"lr": np.array([0.1, 0.2]), "momentum": np.array([0.9, 0.8]), "eps": 1e-8}
    done = np.arange(2)
    found = EVERY_KIND[name](done, 100, base)
    assert found.keys() <= {"lr", "momentum"}
    assert ("momentum" in found) == (name in ("onecycle", "onecycle in lines", "sequence"))
    assert base["lr"].tolist() == [0.1, 0.2]
    assert base["momentum"].tolist() == [0.9, 0.8]
    assert done.tolist() == [0, 1]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_rates_scale_with_the_base_and_are_never_negative(name):
    ones = rates(EVERY_KIND[name], 200)
    np.testing.assert_allclose(rates(EVERY_KIND[name], 200, 1e-4), 1e-4 * ones, rtol=1e-14)
    assert (ones >= 0).all()
    assert ones.max() <= 1


ENDLESS = ("exponential", "inverse", "step", "restarts")


@pytest.mark.parametrize("name", [name for name in EVERY_KIND if name not in ENDLESS])
def test_rates_stay_after_the_last_step(name):
    schedule, last = EVERY_KIND[name], rates(EVERY_KIND[name], 100)[-1]
    assert schedule([101, 150], 100, {"lr": 1.0})["lr"].tolist() == [last, last]


@pytest.mark.parametrize("schedule", [linear, cosine])
def test_the_rate_falls_from_its_base_to_nothing(schedule):
    falling = schedule(np.arange(101), 100, {"lr": 0.5})["lr"]
    assert falling[0] == 0.5
    assert (np.diff(falling) < 0).all()
    assert falling[50] == pytest.approx(0.25, rel=1e-15)
    assert falling[100] == 0


@pytest.mark.parametrize(
    ("shares", "steps"),
    [
        (step_decay(0.3, 0.5), step_decay(30, 0.5)),
        (multi_step_decay([0.29, 0.57]), multi_step_decay([29, 57])),
        (warmup(0.07), warmup(7)),
        (cosine_restarts(0.14, 2), cosine_restarts(14, 2)),
        (warmup_stable_decay(0.07, 0.14), warmup_stable_decay(7, 14)),
        (sequence(warmup(0.07), cosine), sequence(warmup(7), cosine)),
        # A warm-up's share is one of the whole run, in a later part as well.
        (
            sequence(constant, warmup(0.07), cosine, at=[0.5, 0.57]),
            sequence(constant, warmup(7), cosine, at=[50, 57]),
        ),
        (
            sequence(constant, step_decay(0.2, 0.5), at=[0.5]),
            sequence(constant, step_decay(10, 0.5), at=[50]),
        ),
    ],
)
def test_shares_are_those_of_all_steps(shares, steps):
    assert rates(shares, 100).tolist() == rates(steps, 100).tolist()


@pytest.mark.parametrize("shape", ["linear", "sqrt"])
def test_warmup_stable_decay_by_its_definition(shape):
    total, rise, fall = 60, 7, 13
    wanted = []
    for k in range(total + 1):
        x = (k - (total - fall)) / fall
        cooled = 1.0 if x < 0 else 1 - x if shape == "linear" else 1 - x**0.5
        wanted.append(min(1.0, 1 / rise + (1 - 1 / rise) * k / rise) * cooled)
    found = rates(warmup_stable_decay(rise, fall, shape), total)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-15)


def test_one_cycle_turns_the_momentum():
    base = {"lr": 1.0, "momentum": 0.9, "beta2": 0.999}
    found = one_cycle(0.5, momentum=(0.7, 0.8))([0, 49, 99], 100, base)
    assert found.keys() == {"lr", "momentum"}
    np.testing.assert_allclose(found["momentum"], [0.8, 0.7, 0.8], rtol=0, atol=1e-15)


def test_one_cycle_leaves_no_momentum_alone():
    schedule = one_cycle(momentum=(0.7, 0.8))
    assert schedule(3, 10, {"lr": 1.0, "eps": 0.1}).keys() == {"lr"}
    assert schedule([0, 5], 10, {"lr": 1.0, "momentum": 0.0})["momentum"].tolist() == [0, 0]
    assert one_cycle(momentum=None)(3, 10, {"lr": 1.0, "momentum": 0.9}).keys() == {"lr"}


def test_a_sequence_gives_back_what_only_one_part_changes():
    schedule = sequence(one_cycle(momentum=(0.7, 0.8)), constant, at=[50])
    found = schedule([0, 49, 50, 99], 100, {"lr": 1.0, "momentum": 0.9})["momentum"]
    np.testing.assert_allclose(found, [0.8, 0.8, 0.9, 0.9], rtol=0, atol=1e-15)


def test_a_user_s_function_composes():
    def decayed(step, total, base):
        return {"weight_decay": base["weight_decay"] * (1 - np.asarray(step) / total)}

    schedule = product(sequence(warmup(10), decayed), linear)
    found = schedule([0, 10, 55], 100, {"lr": 1.0, "weight_decay": 0.5})
    np.testing.assert_allclose(found["lr"], [0.1, 0.9, 0.45], rtol=0, atol=1e-15)
    np.testing.assert_allclose(found["weight_decay"], [0.5, 0.5, 0.25], rtol=0, atol=1e-15)
