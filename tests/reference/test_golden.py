"""The stored trajectories are what the oracles give, and every term of a rule shows in them."""

import json

import numpy as np
import pytest
import torch

from ravine.testing import _golden_problem as problem
from tests.reference.golden_settings import CLOSURE_SETTINGS, STEPS
from tests.reference.oracles import CLOSURES, ORACLES
from tests.reference.write_golden import FOLDER, text, trajectories, trajectory_of

FRESH = trajectories()


def test_one_file_per_rule():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(FRESH)


@pytest.mark.parametrize("rule", sorted(FRESH))
def test_stored_data_equal_the_oracles(rule):
    stored = json.loads((FOLDER / f"{rule}.json").read_text())
    assert len(stored) == len(FRESH[rule])
    for old, new in zip(stored, FRESH[rule], strict=True):
        for key in ("iterates", "readouts"):
            # Not bit by bit: another BLAS adds matrix products in another order.
            np.testing.assert_allclose(old.pop(key, []), new.get(key, []), rtol=1e-12, atol=1e-12)
        assert old == {k: v for k, v in new.items() if k not in ("iterates", "readouts")}


@pytest.mark.parametrize("rule", sorted(FRESH))
def test_numbers_read_back_exactly(rule):
    assert json.loads(text(FRESH[rule])) == FRESH[rule]


def test_every_oracle_is_stored():
    stored = {(s.rule, s.convention) for s in [*STEPS, *CLOSURE_SETTINGS]}
    assert stored == {*ORACLES, *CLOSURES}


# Rounding or a value of the rule keeps these from showing: a limit that binds nowhere, or an
# eps below the gradients' own size; each has a test of its own against a peer.
UNSEEN = {("muon", "eps"), ("muon_with_adamw", "eps"), ("adafactor", "eps1")}


@pytest.mark.parametrize("setting", STEPS, ids=lambda s: f"{s.rule}-{s.convention}")
def test_every_number_of_a_rule_shows_in_its_trajectory(setting):
    base = trajectory_of(setting)
    for name, value in setting.hypers.items():
        if type(value) not in (int, float) or (setting.rule, name) in UNSEEN:
            continue
        changed = setting._replace(
            hypers={**setting.hypers, name: _other(setting.rule, name, value)}
        )
        other = trajectory_of(changed)
        seen = [np.subtract(base[k], other[k]) for k in ("iterates", "readouts") if k in base]
        assert max(np.abs(d).max() for d in seen) > 1e-6, name


def _other(rule, name, value):
    # signs turn with larger changes only, and lengths of averages go in steps of about one
    far = {"sync": 3.0, "t0": 5.0, "threshold": 6.0}
    if rule in ("lion", "signsgd") and name.startswith("beta"):
        return 0.2
    if isinstance(value, int):
        return value + 1
    return far.get(name, 0.05 if value == 0 else 0.9 * value)


def test_derivatives_of_the_problem_equal_autograd():
    x, y, c = (torch.from_numpy(a) for a in (problem.X, problem.Y, problem.C))

    def residuals(w):
        weight, bias = w[:6].reshape(3, 2), w[6:]
        return torch.cat([(torch.tanh(x @ weight.T + bias) - y).flatten(), weight.T @ bias - c])

    def loss(w):
        return (residuals(w) ** 2).sum() / 2

    derive = torch.autograd.functional

    for seed in range(3):
        w = np.random.default_rng(seed).normal(size=9)
        at = torch.from_numpy(w)
        for ours, theirs in [
            (problem.residuals(w), residuals(at)),
            (problem.value(w), loss(at)),
            (problem.jacobian(w), derive.jacobian(residuals, at)),
            (problem.gradient(w), derive.jacobian(loss, at)),
            (problem.hessian(w), derive.hessian(loss, at)),
        ]:
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
