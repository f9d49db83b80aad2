"""Weights and states in few bits through checkpoints: ours, torch's, by name, and as copies."""

import copy
import io
import pickle

import pytest
import torch

import ravine.optim as ours
from ravine.optim import _precision_launch
from ravine.rules import get_rule
from tests.optim.precision_cases import PAIRS, RULES, assert_same_bits, kept, made, run


@pytest.mark.parametrize("rule, dtype, how", PAIRS, ids=str)
def test_a_checkpoint_goes_on_to_the_bit(rule, dtype, how):
    make, settings = RULES[rule]
    whole = made(lambda p: make(p, **settings, **how), dtype)
    run(*whole, 6)
    parameters, optimizer = made(lambda p: make(p, **settings, **how), dtype)
    run(parameters, optimizer, 3)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), list(parameters)], file)
    file.seek(0)
    with torch.serialization.safe_globals([torch.nn.Parameter]):
        saved, weights = torch.load(file)
    other, resumed = made(lambda p: make(p, **settings, **how, rounding_seed=9), dtype, seed=1)
    with torch.no_grad():
        for p, w in zip(other, weights, strict=True):
            p.copy_(w)
    resumed.load_state_dict(saved)
    run(other, resumed, 3, start=3)
    assert_same_bits(kept(resumed, other), kept(*whole[::-1]))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_to_the_bit(clone):
    parameters, optimizer = made(lambda p: ours.Adam(p, state_dtype="int8"), torch.float32)
    run(parameters, optimizer, 2)
    other, copied = clone((parameters, optimizer))
    run(parameters, optimizer, 2, start=2)
    run(other, copied, 2, start=2)
    assert_same_bits(kept(copied, other), kept(optimizer, parameters))


def test_by_name_the_random_bits_follow_the_parameter():
    def begun(order):
        torch.manual_seed(0)
        named = {n: torch.nn.Parameter(torch.randn(300)) for n in "abc"}
        return named, ours.Adam([(n, named[n]) for n in order], state_dtype="int8")

    def go(named, optimizer, seeds):
        for seed in seeds:
            for n, p in named.items():
                torch.manual_seed(seed * 1000 + ord(n))
                p.grad = torch.randn(300)
            optimizer.step()

    first, optimizer = begun("abc")
    go(first, optimizer, (1, 2))
    second, reordered = begun("cab")
    with torch.no_grad():
        for n in "abc":
            second[n].copy_(first[n])
    reordered.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    go(first, optimizer, (3, 4))
    go(second, reordered, (3, 4))
    assert_same_bits(
        kept(reordered, [second[n] for n in "abc"]), kept(optimizer, [first[n] for n in "abc"])
    )


def test_torchs_checkpoint_is_brought_into_int8():
    parameters, theirs = made(torch.optim.Adam, torch.float32)
    run(parameters, theirs, 3)
    optimizer = ours.Adam(parameters, state_dtype="int8")
    optimizer.load_state_dict(theirs.state_dict())
    before = {k: v.clone() for k, v in theirs.state[parameters[1]].items()}
    run(parameters, optimizer, 1, start=3)
    state, rule = optimizer.state[parameters[1]], get_rule("adam")
    assert float(state["step"]) == 4
    grad = parameters[1].grad
    for name, key, expected in (
        ("m", "exp_avg", 0.9 * before["exp_avg"] + 0.1 * grad),
        ("v", "exp_avg_sq", 0.999 * before["exp_avg_sq"] + 0.001 * grad**2),
    ):
        assert key not in state and state[f"{key}_codes"].itemsize == 1
        found = _precision_launch.read(rule, name, state)
        # Rounded when loaded and again in the step; steps of both codecs are widest at the top.
        assert (found - expected).abs().max() <= 2 * expected.abs().max() / 60


def test_int8_is_read_by_a_plain_optimizer_and_stops_torchs():
    parameters, optimizer = made(lambda p: ours.Adam(p, state_dtype="int8"), torch.float32)
    run(parameters, optimizer, 3)
    rule = get_rule("adam")
    values = [_precision_launch.read(rule, "v", optimizer.state[p]).clone() for p in parameters]
    plain = ours.Adam(parameters)
    plain.load_state_dict(optimizer.state_dict())
    for p in parameters:
        p.grad = torch.zeros_like(p)
    plain.step()
    for p, v in zip(parameters, values, strict=True):
        torch.testing.assert_close(plain.state[p]["exp_avg_sq"], 0.999 * v)
    theirs = torch.optim.Adam(parameters)
    theirs.load_state_dict(optimizer.state_dict())
    with pytest.raises(KeyError, match="exp_avg"):
        theirs.step()


def test_bfloat16_is_read_by_torchs_class():
    parameters, optimizer = made(lambda p: ours.Adam(p, state_dtype="bfloat16"), torch.float32)
    run(parameters, optimizer, 3)
    theirs = torch.optim.Adam(parameters)
    theirs.load_state_dict(optimizer.state_dict())
    for p in parameters:
        assert torch.equal(theirs.state[p]["exp_avg_sq"], optimizer.state[p]["exp_avg_sq"].float())
    run(parameters, theirs, 1)
