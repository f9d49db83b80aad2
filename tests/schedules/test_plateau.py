"""Reduce-on-plateau against torch's, evaluation by evaluation."""

import pickle

import numpy as np
import pytest
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ravine.core.errors import SettingError
from ravine.schedules import (
    ReduceOnPlateau,
    TorchSchedule,
    get_schedule,
    linear,
    product,
    sequence,
)
from tests.schedules.driving import sgd

SETTINGS = {
    "default": ({}, {}),
    "impatient": ({"patience": 0, "factor": 0.7}, {"patience": 0, "factor": 0.7}),
    "upwards": (
        {"direction": "max", "patience": 2, "threshold": 0.1},
        {"mode": "max", "patience": 2, "threshold": 0.1},
    ),
    "absolute": (
        {"patience": 1, "threshold": 0.05, "relative": False, "cooldown": 3},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 3},
    ),
    "absolute, upwards": (
        {"direction": "max", "patience": 1, "threshold": 0.05, "relative": False},
        {"mode": "max", "patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
    ),
    "with a floor": (
        {"patience": 1, "factor": 0.3, "min_lr": 1e-3, "cooldown": 1},
        {"patience": 1, "factor": 0.3, "min_lr": 1e-3, "cooldown": 1},
    ),
    "with a smallest change": (
        {"patience": 0, "factor": 0.5, "eps": 0.01},
        {"patience": 0, "factor": 0.5, "eps": 0.01},
    ),
}


def _metrics(seed):
    """Return a metric that falls to a plateau, noisy, below 0 in the end, with failures."""
    noise = np.random.default_rng(seed).normal(0, 0.1, 120)
    metrics = np.exp(-np.arange(120) / 20) - 0.2 + noise
    metrics[[20, 57, 58]] = np.nan, np.inf, -0.1
    return metrics


@pytest.mark.parametrize("name", SETTINGS)
def test_rates_are_those_of_torch_for_many_trainings_at_once(name):
    ours, settings = SETTINGS[name]
    table = np.stack([_metrics(seed) for seed in range(5)], axis=1)
    wanted = []
    for column in table.T:
        optimizer = sgd(0.3)
        scheduler = ReduceLROnPlateau(optimizer, **settings)
        seen = []
        for metric in column:
            optimizer.step()
            scheduler.step(metric)
            seen.append(optimizer.param_groups[0]["lr"])
        wanted.append(seen)
    plateau, values, found = ReduceOnPlateau(**ours), {"lr": np.full(5, 0.3)}, []
    for metrics in table:
        values |= plateau.update(metrics, values)
        found.append(values["lr"])
    assert len(np.unique(wanted)) > 2
    np.testing.assert_array_equal(np.stack(found, axis=1), wanted)


def test_it_goes_on_after_being_stored():
    first, values = ReduceOnPlateau(patience=2, cooldown=1), {"lr": 1.0}
    for metric in (1.0, 2.0, 2.0):
        values |= first.update(metric, values)
    second = pickle.loads(pickle.dumps(first))
    for metric in (2.0, 2.0, 0.5):
        assert first.update(metric, values) == second.update(metric, values)
    assert (first.best, first.waited, first.cooling) == (0.5, 0, 0)


@pytest.mark.parametrize(
    "use",
    [
        lambda: get_schedule("plateau"),
        lambda: get_schedule("warmup:10+plateau:0.1"),
        lambda: get_schedule(ReduceOnPlateau()),
        lambda: get_schedule(ReduceOnPlateau),
        lambda: sequence(linear, ReduceOnPlateau(), at=[0.5]),
        lambda: product(ReduceOnPlateau(), linear),
        lambda: TorchSchedule(sgd(0.1), ReduceOnPlateau(), 10),
    ],
)
def test_it_is_refused_where_steps_alone_decide(use):
    with pytest.raises(SettingError, match=r"reduce-on-plateau, which needs the metric .*feed a"):
        use()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"direction": "lower"}, "direction must be 'min' or 'max', got 'lower'"),
        ({"factor": 1.0}, "factor must be > 0 and < 1, got 1.0"),
        ({"factor": 0}, "factor must be > 0, got 0"),
        ({"patience": -1}, "patience must be an integer >= 0, got -1"),
        ({"cooldown": 0.5}, "cooldown must be an integer >= 0, got 0.5"),
        ({"threshold": -1e-4}, "threshold must be >= 0, got -0.0001"),
        ({"threshold": 1.0}, "threshold must be < 1 where it is relative, got 1.0"),
        ({"min_lr": float("nan")}, "min_lr must be a finite number, got nan"),
        ({"eps": "small"}, "eps must be a finite number, got 'small'"),
        ({"relative": "rel"}, "relative must be True or False, got 'rel'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(SettingError, match=message):
        ReduceOnPlateau(**settings)
