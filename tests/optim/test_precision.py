"""Steps with weights and states in few bits: by kernel, by reference, and against closed forms."""

import gc
import math
import weakref

import numpy as np
import pytest
import torch

import ravine.optim as ours
from ravine.core.errors import SettingError
from ravine.kernels import _coded_source, _numba_source, addresses, kernel, plan
from ravine.kernels._coded import coded_kernel
from ravine.optim import _precision_launch, _precision_steps
from ravine.rules import get_rule, modifiers
from tests.optim.precision_cases import (
    PAIRS,
    RULES,
    SETTINGS,
    assert_same_bits,
    kept,
    made,
    run,
)


def float32_kernel_step(rule, weights, gradients, states, t, hypers):
    """Step as `reference_step` does, by the plain kernel on float32 arrays."""
    weights, gradients = [w.clone() for w in weights], [g.contiguous() for g in gradients]
    states = [{n: v.clone() for n, v in state.items()} for state in states]
    compiled = kernel.__wrapped__(rule, torch.float32)
    table = np.array([[at, *row.values()] for at, row in zip(t, hypers, strict=True)])
    scalars = np.array([[float(s[n]) for n in rule.scalars] for s in states]).reshape(len(t), -1)
    columns = [weights, gradients, *([s[n] for s in states] for n in rule.state)]
    compiled(addresses(columns), table, scalars, plan(compiled, [w.shape for w in weights]))
    for state, row in zip(states, scalars, strict=True):
        state |= {n: torch.tensor(v) for n, v in zip(rule.scalars, row, strict=True)}
    return weights, states


@pytest.fixture
def no_contraction(monkeypatch):
    """Compile products and sums as written: which of two products is fused is a compiler's mood."""
    plain = _numba_source._INNER.replace("{{{flags}}}", "set()")
    monkeypatch.setattr(_numba_source, "_INNER", plain)
    monkeypatch.setattr(_coded_source, "_INNER", plain)
    monkeypatch.setattr(_precision_steps, "coded_kernel", coded_kernel.__wrapped__)


@pytest.mark.parametrize("rule, dtype, how", PAIRS, ids=str)
def test_kernel_and_codecs_do_the_same_to_every_bit(rule, dtype, how, no_contraction, monkeypatch):
    make, settings = RULES[rule]
    by_kernel = made(lambda p: make(p, **settings, **how), dtype)
    run(*by_kernel, 4)
    kind = _precision_steps._kind
    monkeypatch.setattr(
        _precision_steps, "_kind", lambda *given: kind(*given)._replace(by_kernel=False)
    )
    monkeypatch.setattr(_precision_launch, "reference_step", float32_kernel_step)
    by_codecs = made(lambda p: make(p, **settings, **how), dtype)
    run(*by_codecs, 4)
    assert_same_bits(kept(*by_kernel[::-1]), kept(*by_codecs[::-1]))


@pytest.mark.parametrize("dtype, how", SETTINGS, ids=str)
def test_kernel_and_reference_agree_where_arithmetic_is_exact(dtype, how, monkeypatch):
    # Small multiples of powers of two: no operation of the formula rounds, in any order.
    found = []
    for by_kernel in (True, False):
        if not by_kernel:
            kind = _precision_steps._kind
            monkeypatch.setattr(
                _precision_steps,
                "_kind",
                lambda *given, f=kind: f(*given)._replace(by_kernel=False),
            )
        parameters, optimizer = made(
            lambda p: ours.SignSGD(p, lr=2.0**-6, momentum=0.5, **how), dtype
        )
        for step in range(6):
            torch.manual_seed(step)
            for p in parameters:
                p.grad = torch.randint(-8, 9, p.shape).to(dtype)
            optimizer.step()
        found.append(kept(optimizer, parameters))
    assert_same_bits(*found)


@pytest.mark.parametrize("state_dtype, moves", [(None, False), ("bfloat16", True), ("int8", True)])
def test_a_mean_with_a_share_of_999_moves_only_if_rounded_stochastically(state_dtype, moves):
    # v falls by a thousandth a step, less than half of bfloat16's step of 1/256; g = 0 leaves
    # v_t = 0.999^t. 512 weights: the mean is known to a fifth of a weight's own noise.
    weight = torch.nn.Parameter(torch.zeros(512, dtype=torch.bfloat16))
    optimizer = ours.RMSprop([weight], alpha=0.999, lr=1e-6, state_dtype=state_dtype)
    for step in range(400):
        weight.grad = torch.full_like(weight, float(step == 0))
        optimizer.step()
        if step == 0:
            rule = optimizer._rule_of(optimizer.param_groups[0])
            begun = _precision_launch.read(rule, "v", optimizer.state[weight]).mean().item()
    left = _precision_launch.read(rule, "v", optimizer.state[weight]).mean().item()
    assert begun == pytest.approx(1e-3, rel=5e-3)
    assert left == pytest.approx(begun * 0.999**399 if moves else begun, rel=0.05 if moves else 0)


def descend(rounding, count=4096, steps=1024):
    """Walk from 1 by steps of 2^-12, a sixteenth of bfloat16's step below 1, to 3/4."""
    weight = torch.nn.Parameter(torch.ones(count, dtype=torch.bfloat16))
    optimizer = ours.SGD([weight], lr=2.0**-12, param_rounding=rounding)
    for _ in range(steps):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    return weight.detach().double(), optimizer.state[weight]


def test_to_nearest_small_steps_stall():
    weight, _ = descend("nearest", 10)
    assert (weight == 1).all()


def test_with_kahan_they_arrive():
    weight, state = descend("kahan", 10)
    # Weight and compensation together are exact: every step is a multiple of 2^-12.
    assert (weight + state["compensation"].double() == 0.75).all()
    assert (weight - 0.75).abs().max() <= 2.0**-9
    weight, state = descend("kahan", 10, steps=1023)
    assert (weight + state["compensation"].double() == 0.75 + 2.0**-12).all()


def test_with_stochastic_rounding_they_arrive_on_average():
    weight, _ = descend("stochastic")
    # The number of steps of 2^-8 that a weight makes is binomial: 1024 trials of chance 1/16.
    deviation = 2.0**-8 * math.sqrt(1024 / 16 * 15 / 16)
    assert abs(weight.mean().item() - 0.75) < 5 * deviation / math.sqrt(weight.numel())
    assert weight.std().item() == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize("dtype, how", SETTINGS, ids=str)
@pytest.mark.parametrize("make", [ours.Adam, ours.Lion])
def test_a_repeated_launch_does_what_a_step_anew_does(make, dtype, how, monkeypatch):
    # Rates change and come back, a gradient is missing at times, and so are more settings.
    found = []
    for repeats in (True, False):
        if not repeats:
            monkeypatch.setattr(_precision_steps, "readable", lambda every: False)
        parameters, optimizer = made(lambda p: make(p, lr=0.01, **how), dtype)
        for step in range(12):
            optimizer.param_groups[0]["lr"] = 0.02 if step in (3, 4, 8) else 0.01
            optimizer.param_groups[0]["weight_decay"] = 0.1 if step in (6, 10) else 0.0
            torch.manual_seed(step)
            for p in parameters:
                p.grad = torch.randn(p.shape).to(dtype)
            if step in (5, 9):
                parameters[1].grad = None
            optimizer.step()
            assert bool(optimizer._coded._repeated) == repeats
        found.append(kept(optimizer, parameters))
    assert_same_bits(*found)


def test_a_refused_rate_leaves_everything_as_it_was():
    def steps(*refused):
        parameters, optimizer = made(lambda p: ours.Adam(p, state_dtype="bfloat16"), torch.float32)
        for step in range(6):
            torch.manual_seed(step)
            for p in parameters:
                p.grad = torch.randn(p.shape)
            if step in refused:
                optimizer.param_groups[0]["lr"] = "fast"
                with pytest.raises(SettingError, match="lr must be a number, got 'fast'"):
                    optimizer.step()
                optimizer.param_groups[0]["lr"] = 1e-3
            optimizer.step()
        return kept(optimizer, parameters)

    assert_same_bits(steps(1, 4), steps())


def test_autograd_notices_a_step_in_few_bits():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = ours.Adam([weight], state_dtype="bfloat16")
    for _ in range(3):  # anew, and repeated
        weight.grad = torch.ones(3)
        loss = (weight * weight).sum()
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.parametrize("before, after", [(None, "int8"), ("int8", None)])
def test_states_of_another_precision_are_let_go(before, after):
    weight = torch.nn.Parameter(torch.ones(300))
    optimizer = ours.Adam([weight], state_dtype=before)
    weight.grad = torch.ones(300)
    for _ in range(3):
        optimizer.step()
    key = "exp_avg" if before is None else "exp_avg_codes"
    old = weakref.ref(optimizer.state[weight][key])
    optimizer.param_groups[0]["state_dtype"] = after
    for _ in range(2):
        optimizer.step()
    gc.collect()
    assert key not in optimizer.state[weight] and old() is None


def test_a_parameter_of_another_dtype_joins_a_group():
    def steps(repeated):
        weight = torch.nn.Parameter(torch.ones(300, dtype=torch.bfloat16))
        joined = torch.nn.Parameter(torch.ones(300))
        optimizer = ours.Adam([weight])
        for step in range(6):
            torch.manual_seed(step)
            weight.grad, joined.grad = torch.randn(300).bfloat16(), torch.randn(300)
            if step == 2:
                optimizer.param_groups[0]["params"].append(joined)
            if not repeated:
                optimizer._coded._repeated.clear()
            optimizer.step()
        return kept(optimizer, [weight, joined])

    assert_same_bits(steps(True), steps(False))


def test_groups_in_few_bits_beside_others():
    def steps(*dtypes):
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(300)) for _ in dtypes]
        groups = [
            {"params": [p]} | ({"state_dtype": d} if d else {})
            for p, d in zip(parameters, dtypes, strict=True)
        ]
        optimizer = ours.Adam(groups)
        run(parameters, optimizer, 5)
        return kept(optimizer, parameters)

    mixed = steps(None, "bfloat16", None)
    assert_same_bits(mixed[::2], steps(None, None, None)[::2])
    assert_same_bits(mixed[1:2], steps("bfloat16", "bfloat16", "bfloat16")[1:2])


def test_the_seed_decides():
    def bits(seed):
        parameters, optimizer = made(
            lambda p: ours.Adam(p, state_dtype="int8", rounding_seed=seed), torch.float32
        )
        run(parameters, optimizer, 3)
        return kept(optimizer, parameters)[0]["exp_avg_codes"]

    state = torch.random.get_rng_state()
    first = bits(0)
    torch.random.set_rng_state(state)
    assert torch.equal(first, bits(0))
    assert (first != bits(1)).float().mean() > 0.1


def test_parameters_of_one_value_get_different_bits():
    a, b = (torch.nn.Parameter(torch.ones(1000)) for _ in range(2))
    optimizer = ours.Adam([a, b], state_dtype="bfloat16")
    a.grad = b.grad = torch.full((1000,), 0.3)
    optimizer.step()
    codes = [optimizer.state[p]["exp_avg"] for p in (a, b)]
    assert 300 < int((codes[0] != codes[1]).sum()) < 700


def bytes_kept(**how):
    parameters, optimizer = made(lambda p: ours.Adam(p, **how), torch.float32, shapes=[(256, 256)])
    run(parameters, optimizer, 1)
    state = optimizer.state[parameters[0]]
    return sum(v.numel() * v.itemsize for k, v in state.items() if k not in ("step", "rounding"))


def test_bytes_kept_per_weight():
    assert bytes_kept() == 8 * 2**16
    assert bytes_kept(state_dtype="bfloat16") == 4 * 2**16
    assert bytes_kept(state_dtype="int8") == 2 * 2**16 + 2 * 2**8


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_dtypes_are_stepped_by_the_reference(dtype):
    (weight,), optimizer = made(
        lambda p: ours.SGD(p, lr=0.5, momentum=0.5, state_dtype="int8"), dtype, shapes=[(4,)]
    )
    with torch.no_grad():
        weight.zero_()
    for _ in range(2):
        weight.grad = torch.full_like(weight, 127.0)
        optimizer.step()
    # v = 127, then 63.5 + 127 = 190.5, between the codes of 190 and 192.
    assert (weight == -0.5 * (127 + 190.5)).all() and weight.dtype == dtype
    found = _precision_launch.read(get_rule("momentum"), "v", optimizer.state[weight])
    assert set(found.tolist()) <= {190.0, 192.0}


def test_memory_layouts_and_missing_gradients():
    # A weight's bits depend on its place in memory, so compare with what it decodes to.
    torch.manual_seed(0)
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    a, b = torch.nn.Parameter(image), torch.nn.Parameter(torch.randn(6, 4).t())
    optimizer = ours.SGD([a, b], lr=1.0, momentum=1.0, state_dtype="bfloat16")
    a.grad = torch.ones(2, 3, 4, 5)  # contiguous, unlike its parameter
    before = a.detach().clone(), b.detach().clone()
    optimizer.step()
    assert torch.equal(a, before[0] - 1) and torch.equal(b, before[1])
    assert "momentum_buffer" not in optimizer.state[b]
    b.grad, a.grad = torch.full_like(b, 2.0), None
    optimizer.step()
    assert torch.equal(a, before[0] - 1) and torch.equal(b, before[1] - 2)
    a.data = a.data.contiguous()  # moved: its state follows
    a.grad = torch.ones(2, 3, 4, 5)
    optimizer.step()
    torch.testing.assert_close(a.detach(), before[0] - 1 - 2)


def test_groups_have_precision_of_their_own():
    a, b = (torch.nn.Parameter(torch.zeros(3)) for _ in range(2))
    optimizer = ours.Adam([{"params": [a]}, {"params": [b], "state_dtype": "int8"}])
    a.grad = b.grad = torch.ones(3)
    optimizer.step()
    assert "exp_avg" in optimizer.state[a] and "exp_avg_codes" in optimizer.state[b]
    assert "state_dtype" not in optimizer.param_groups[0]
    assert torch.equal(a, b)


def test_readout_decodes():
    weight = torch.nn.Parameter(torch.zeros(3))
    rule = get_rule("nesterov", "lecture")
    optimizer = ours.from_rule(rule)([weight], eta=1.0, gamma=0.5, state_dtype="int8")
    weight.grad = torch.full((3,), 64.0)
    optimizer.step()
    stored = weight.detach().clone()
    with optimizer.readout():
        assert torch.equal(weight, stored + 0.5 * 64)  # w = w_temp + gamma v
    assert torch.equal(weight, stored)


def test_what_cannot_be_is_refused_when_it_is_given():
    weight = torch.nn.Parameter(torch.zeros(3))
    half = torch.nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
    for settings, words in (
        ({"state_dtype": "int4"}, "unknown state_dtype 'int4'; did you mean 'int8'"),
        ({"state_dtype": torch.int8}, "unknown state_dtype 'torch.int8'"),
        ({"param_rounding": "up"}, "unknown param_rounding 'up'"),
        ({"param_rounding": "kahan"}, "must be 'nearest' for weights in torch.float32, got 'kah"),
        ({"param_rounding": "stochastic"}, "put others in a group of their own"),
        ({"rounding_seed": -1}, "rounding_seed must be an integer >= 0, got -1"),
    ):
        with pytest.raises(SettingError, match=words):
            ours.Adam([weight], **settings)
    with pytest.raises(SettingError, match="must be 'nearest' for weights"):
        ours.Adam([{"params": [half, weight], "param_rounding": "kahan"}])
    with pytest.raises(
        TypeError, match=r"^unexpected keyword argument 'statedtype'; did you mean 'state_dtype'\? "
    ):
        ours.Adam([weight], statedtype="int8")


def test_rules_that_cannot_be_stored_so_say_why():
    weight = torch.nn.Parameter(torch.zeros(3))
    clipped = ours.from_rule(modifiers.clip_global_norm(get_rule("adam")))
    with pytest.raises(SettingError, match="has sums over a tensor or model"):
        clipped([weight], state_dtype="int8")
    with pytest.raises(SettingError, match="sums"):
        ours.LAMB([{"params": [weight], "state_dtype": "int8"}])
    with pytest.raises(SettingError, match="sam_around_sgd, which takes two gradients"):
        ours.SAM([{"params": [weight], "state_dtype": "int8"}])
    with pytest.raises(SettingError, match="for lookahead_around_adam, got 'int8'"):
        ours.Lookahead([weight], base="adam", state_dtype="int8")
    with pytest.raises(SettingError, match="its state z is a copy of the weights"):
        ours.ScheduleFreeSGD([weight], state_dtype="int8")
    ours.ScheduleFreeSGD([weight], state_dtype="bfloat16")
