"""Correct models of many kinds pass, in both depths, and say what was held still."""

import pytest

from ravine.gradients import check
from tests.gradients.correct import CORRECT, seeded

# What else a report must note, and nothing more.
NOTED = {
    "dropout": {"randomness"},
    "numpy noise": {"randomness"},
    "instance norm, dropout2d": {"randomness"},
    "attention": {"randomness"},
    "batch norm, training": {"mode"},
    "cnn on blank images, biases 0": {"kink"},
    "linear, hinge at its margin": {"kink"},
    "embedding, padding": {"no-gradient"},
    "embedding bag, padding": {"no-gradient"},
    "normalised rows, one of zeros": {"kink"},
    "rounded to bfloat16 inside": {"precision"},
}
# Smooth at the point, and computed in float64 throughout.
SMOOTH = (
    "linear, softmax",
    "mlp, gelu, mse",
    "layer norm",
    "lstm",
    "tied embedding",
    "deep narrow",
    "loss with weights of its own",
)


@pytest.mark.parametrize("name", CORRECT)
def test_no_false_alarm(name):
    make, loss, batch = CORRECT[name]
    report = check(seeded(make), loss, batch)
    assert report.ok, report
    assert {one.cause for one in report.findings} == NOTED.get(name, set()), report
    assert report.dtype == "float64" and report.checked
    assert all(one.agrees for one in report.checked)


@pytest.mark.parametrize(
    "name", ["dropout", "batch norm, training", "attention", "lstm", "tied embedding"]
)
def test_no_false_alarm_entry_by_entry(name):
    make, loss, batch = CORRECT[name]
    model = seeded(make)
    report = check(model, loss, batch, sample=40)
    assert report.ok, report
    assert {one.cause for one in report.findings} == NOTED.get(name, set()), report
    assert sum(one.entries for one in report.checked) >= 40


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "name", ["wide relu", "cnn, max-pool", "deep narrow", "cnn on blank images, biases 0"]
)
def test_no_false_alarm_at_any_seed(name, seed):
    make, loss, batch = CORRECT[name]
    assert check(seeded(make), loss, batch, seed=seed).agrees


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SMOOTH)
def test_slopes_of_smooth_models_are_close_at_any_seed(name, seed):
    make, loss, batch = CORRECT[name]
    report = check(seeded(make), loss, batch, seed=seed)
    assert report.agrees and report.largest_error < 1e-6
