"""What a whole model shares: numbers of rate-free rules, and the direction of a step."""

import inspect

import numpy as np
import pytest
import torch

import ravine.optim
from ravine.core.errors import SettingError
from ravine.optim import RuleOptimizer
from ravine.rules import get_rule, modifiers

RATE_FREE = ["Prodigy", "DAdaptSGD", "DAdaptAdam"]


def weights():
    rng = np.random.default_rng(0)
    values = [torch.from_numpy(rng.normal(size=s)) for s in [(4, 3), (5,)]]
    return [torch.nn.Parameter(v) for v in values]


def scalars(optimizer, parameter):
    state = optimizer.state[parameter]
    return {k: float(v) for k, v in state.items() if v.ndim == 0 and k != "step"}


@pytest.mark.parametrize("name", RATE_FREE)
def test_the_estimate_does_not_depend_on_which_parameter_comes_first(name):
    """One of two parameters gets a gradient only now and then, in and out of launches."""
    ends = []
    for turned in (False, True):
        a, b = weights()
        optimizer = getattr(ravine.optim, name)([b, a] if turned else [a, b], d0=1e-3)
        estimates = []
        for step in range(30):
            b.grad = b.detach() - 0.3
            a.grad = 0.5 * a.detach() if step in (0, 11, 12, 20, 29) else None
            optimizer.step()
            estimates.append(scalars(optimizer, b)["d"])
            assert scalars(optimizer, a) == scalars(optimizer, b)
        assert estimates[-1] > 2e-3
        assert estimates == sorted(estimates)
        ends.append([a.detach(), b.detach()])
    for ours, theirs in zip(*ends, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", RATE_FREE)
def test_a_checkpoint_keeps_one_estimate_for_all(name):
    a, b = weights()
    optimizer = getattr(ravine.optim, name)([a, b], d0=1e-3)
    for step in range(6):
        a.grad, b.grad = (a.detach() if step % 2 == 0 else None), b.detach() - 0.3
        optimizer.step()
    other = getattr(ravine.optim, name)([a, b], d0=1e-3)
    other.load_state_dict(optimizer.state_dict())
    a.grad = None
    other.step()
    a.grad = a.detach().clone()
    other.step()
    assert scalars(other, a) == scalars(other, b)
    assert scalars(other, a)["d"] >= scalars(optimizer, b)["d"]


@pytest.mark.parametrize("name", RATE_FREE)
def test_groups_with_and_without_decay_are_one_model(name):
    a, b = weights()
    groups = [{"params": [a], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}]
    optimizer = getattr(ravine.optim, name)(groups, d0=1e-3)
    for _ in range(10):
        a.grad, b.grad = a.detach() + 1.0, b.detach() - 0.3
        optimizer.step()
    assert scalars(optimizer, a) == scalars(optimizer, b)


def steps_of(kind, settings, signs, steps=12):
    """Return the ends and estimates of groups, each of which goes the way that its sign says."""
    parameters = weights()
    groups = [{"params": [p], "maximize": s < 0} for p, s in zip(parameters, signs, strict=True)]
    optimizer = kind(groups, **settings)

    def closure():
        for p, sign in zip(parameters, signs, strict=True):
            p.grad = sign * (p.detach() + 0.7)
        return 0.0

    for step in range(steps):
        if step == steps // 2:
            optimizer.load_state_dict(optimizer.state_dict())
        closure()
        optimizer.step(closure)
    return [p.detach() for p in parameters], [scalars(optimizer, p) for p in parameters]


def wrapped(name):
    """Return a class around another one, as a function of parameters and settings."""
    outer, _, inner = name.partition(" around ")
    kind = getattr(ravine.optim, outer)
    if not inner:
        return kind
    return lambda groups, **settings: kind(groups, base=getattr(ravine.optim, inner), **settings)


@pytest.mark.parametrize(
    "name",
    [*RATE_FREE, "SAM around Prodigy", "Lookahead around DAdaptSGD", "SAM around SGD"],
)
@pytest.mark.parametrize("signs", [(1, -1), (-1, 1), (-1, -1)])
def test_groups_that_climb_and_descend_are_one_model(name, signs):
    settings = {"lr": 0.05} if name.endswith("SGD") and "DAdapt" not in name else {"d0": 1e-2}
    ends, kept = steps_of(wrapped(name), settings, signs)
    wanted, estimates = steps_of(wrapped(name), settings, (1, 1))
    assert kept == estimates
    assert all(torch.equal(a, b) for a, b in zip(ends, wanted, strict=True))


def climbing():
    """Return the classes that can maximise."""
    classes = [getattr(ravine.optim, name) for name in ravine.optim.__all__]
    classes = [c for c in classes if isinstance(c, type) and issubclass(c, RuleOptimizer)]
    able = [c for c in classes if "maximize" in inspect.signature(c).parameters]
    return [*able, ravine.optim.SAM, ravine.optim.Lookahead]


@pytest.mark.parametrize("kind", climbing(), ids=lambda kind: kind.__name__)
def test_to_maximise_is_to_minimise_the_negative(kind):
    ends = []
    for sign in (1.0, -1.0):
        values = weights()
        optimizer = kind(values, maximize=sign < 0, lr=0.05)

        def closure(values=values, sign=sign, optimizer=optimizer):
            optimizer.zero_grad()
            loss = sign * sum(((w - 0.3) ** 4 + (w * w.roll(1, 0)).sin()).sum() for w in values)
            loss.backward()
            return loss

        for _ in range(6):
            optimizer.step(closure)
        ends.append([w.detach() for w in values])
    for ours, theirs, start in zip(*ends, weights(), strict=True):
        # Not to the bit: a product is fused with another sum where the sign stands elsewhere.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
        assert not torch.equal(ours, start)


def test_modifiers_refuse_what_they_would_break():
    for around in (modifiers.cautious, modifiers.lookahead):
        for rule in (get_rule("schedule_free_sgd"), modifiers.ema(get_rule("adam"))):
            with pytest.raises(SettingError, match=r"cannot go around .* evaluated weights"):
                around(rule)
    with pytest.raises(SettingError, match=r"maximize\(cautious\(sgd\)\)"):
        modifiers.cautious(modifiers.maximize(get_rule("sgd")))
