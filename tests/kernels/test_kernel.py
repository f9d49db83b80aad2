"""Kernel, reference step and the NumPy oracle: one formula, three ways."""

from itertools import pairwise

import numba
import numpy as np
import pytest
import torch

from ravine.kernels import addresses, kernel, plan
from ravine.rules import Rule, all_rules, get_rule, reference_readout, reference_step
from tests.kernels.cases import (
    STEPS,
    Model,
    formulas,
    gradients,
    hard,
    kernel_step,
    modified,
    name,
    rates,
)
from tests.kernels.rounding import bounded_step
from tests.reference.rules import RULES, Oracle

SMALL = [(3, 5), (), (0,), (17,)]
# A tensor longer than a chunk of 32 Ki, one that ends on its border, a scalar and an empty one.
SHAPES = [(3, 5), (32 * 1024 + 77,), (), (0,), (32 * 1024,)]

DECAYED = ("weight_decay", "maximize")
CLIPPED = ("decoupled_weight_decay", "maximize", "clip_global_norm")


def assert_close(ours: Model, theirs: Model, tolerance: float) -> None:
    """Compare weights and states, relative to the largest entry of each tensor."""
    for (n, mine), other in zip(ours.arrays().items(), theirs.arrays().values(), strict=True):
        for a, b in zip(mine, other, strict=True):
            scale = np.max(np.abs(b), initial=0.0)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=n)


def reference(model: Model, grads: list[torch.Tensor], step: int) -> None:
    """Step a model by the formula itself."""
    model.weights, model.states = reference_step(
        model.rule, model.weights, grads, model.states, [step] * len(grads), model.rows
    )


def rows_for(rule: Rule, count: int) -> list[dict[str, float]]:
    """Return different rates, decays and norms per tensor."""
    base = hard(rule)
    factors = [1.0, 0.5, 2.0, 0.7, 1.3][:count]
    changing = [n for n in ("lr", "weight_decay", "eps") if n in base]
    return [base | {n: base[n] * factor for n in changing} for factor in factors]


def run_double(rule: Rule, shapes: list[tuple[int, ...]], steps: int, *, parallel: bool) -> None:
    rng = np.random.default_rng(0)
    compiled = kernel(rule, torch.float64, parallel=parallel)
    ours = Model.random(rule, rng, shapes, torch.float64, rows_for(rule, len(shapes)))
    theirs = ours.copy()
    base = [row["lr"] for row in ours.rows]
    for step, factor in enumerate(rates(1.0, steps), start=1):
        for model in (ours, theirs):
            for row, lr in zip(model.rows, base, strict=True):
                row["lr"] = lr * factor
        grads = gradients(rng, ours.weights)
        kernel_step(compiled, [ours], [grads], [step])
        reference(theirs, grads, step)
    assert_close(ours, theirs, 1e-12)


@pytest.mark.parametrize("rule", all_rules(), ids=name)
def test_kernel_equals_reference_over_100_steps(rule):
    run_double(rule, SMALL, STEPS, parallel=True)


MODIFIED = [
    modified(rule, ("weight_decay", "decoupled_weight_decay")[i % 2], *CLIPPED[1:])
    for i, rule in enumerate(formulas())
]


@pytest.mark.parametrize("rule", MODIFIED, ids=name)
def test_modified_kernel_equals_reference_over_100_steps(rule):
    # Serial kernels compile faster; that they equal parallel ones to the bit is shown below.
    run_double(rule, SMALL, STEPS, parallel=False)


@pytest.mark.parametrize("modifiers", [(), CLIPPED], ids=["plain", "clipped"])
def test_kernel_equals_reference_across_chunks(modifiers):
    run_double(modified(get_rule("adam"), *modifiers), SHAPES, 10, parallel=True)


def assert_within_rounding(model: Model, exact: dict) -> None:
    for n, column in model.arrays().items():
        for i, entries in enumerate(column):
            off = np.abs(entries.astype(np.float64) - exact[n].value[i])
            # The smallest normal number: below it rounding is no longer relative.
            allowed = np.broadcast_to(exact[n].error[i] + 1.2e-38, off.shape)
            assert (off <= allowed).all(), (n, i, np.max(off / allowed))


def run_single(rule: Rule, shapes: list[tuple[int, ...]], steps: int, *, parallel: bool) -> None:
    """Compare steps with the exact result from the same float32 numbers."""
    rng = np.random.default_rng(1)
    compiled = kernel(rule, torch.float32, parallel=parallel)
    ours = Model.random(rule, rng, shapes, torch.float32, rows_for(rule, len(shapes)))
    for step in range(1, steps + 1):
        grads = gradients(rng, ours.weights)
        before = ours.copy()
        kernel_step(compiled, [ours], [grads], [step])
        if step > 3 and step % 10:
            continue
        arrays = before.arrays() | {"g": [g.numpy() for g in grads]}
        exact = bounded_step(rule, arrays, ours.rows, step)
        reference(before, grads, step)
        assert_within_rounding(ours, exact)
        assert_within_rounding(before, exact)


@pytest.mark.parametrize("rule", formulas(), ids=name)
def test_single_precision_is_right_to_rounding_over_100_steps(rule):
    run_single(modified(rule, *DECAYED), SMALL, STEPS, parallel=False)


@pytest.mark.parametrize("modifiers", [(), CLIPPED], ids=["plain", "clipped"])
def test_single_precision_is_right_to_rounding_across_chunks(modifiers):
    run_single(modified(get_rule("adam"), *modifiers), SHAPES, 3, parallel=True)


@pytest.mark.parametrize("modifiers", [(), ("clip_global_norm",)], ids=["plain", "clipped"])
def test_rounding_bound_notices_an_error_of_a_few_units(modifiers):
    rule = modified(get_rule("adam"), *modifiers)
    rng = np.random.default_rng(2)
    model = Model.random(rule, rng, SMALL, torch.float32, rows_for(rule, len(SMALL)))
    grads = gradients(rng, model.weights)
    arrays = model.copy().arrays() | {"g": [g.numpy() for g in grads]}
    exact = bounded_step(rule, arrays, model.rows, 1)
    reference(model, grads, 1)
    assert_within_rounding(model, exact)
    model.states[0]["v"] *= 1 + 1e-5
    with pytest.raises(AssertionError):
        assert_within_rounding(model, exact)


def oracle_for(rule: Rule, plain: Rule, **extra: object) -> Oracle:
    """Return the NumPy oracle at the hard settings, under its own names."""
    values = hard(plain)
    named = {"beta": "alpha", "mu": "momentum"} if rule.convention == "torch" else {}
    skipped = ("lr", "initial_accumulator_value", "initial_velocity", "weight_decay")
    hypers = {named.get(n, n): v for n, v in values.items() if n not in skipped}
    if plain.name == "nesterov":
        hypers.pop("dampening", None)  # torch has no Nesterov with dampening
    return Oracle(plain.name, plain.convention, **hypers, **extra)


ORACLES = [
    (plain, chosen)
    for plain in all_rules()
    if plain.name in RULES.get(plain.convention, ())
    for chosen in ((), DECAYED, CLIPPED)
]


@pytest.mark.parametrize(
    ("plain", "chosen"), ORACLES, ids=[f"{name(p)}-{'+'.join(c) or 'plain'}" for p, c in ORACLES]
)
def test_reference_equals_numpy_oracle_over_100_steps(plain, chosen):
    rule = modified(plain, *chosen)
    start = {n: 0.0 for n in rule.hypers if n.startswith("initial_")}
    start |= {"dampening": 0.0} if plain.name == "nesterov" and "dampening" in rule.hypers else {}
    hypers = hard(rule) | start
    decay = "decoupled" if plain.name == "adamw" or chosen is CLIPPED else "weight_decay"
    extra = {decay: 0.1} if chosen or plain.name == "adamw" else {}
    if chosen:
        extra["maximize"] = True
    if chosen is CLIPPED:
        extra["clip"] = hypers["max_norm"]
    oracle = oracle_for(rule, plain, **extra)
    rng = np.random.default_rng(3)
    model = Model.random(rule, rng, SMALL, torch.float64, [hypers] * len(SMALL))
    weights = [w.numpy().copy() for w in model.weights]
    for step, lr in enumerate(rates(hypers["lr"]), start=1):
        for row in model.rows:
            row["lr"] = lr
        grads = gradients(rng, model.weights)
        reference(model, grads, step)
        weights = oracle.step(weights, [g.numpy() for g in grads], lr)
    for ours, state, row, theirs in zip(
        model.weights, model.states, model.rows, weights, strict=True
    ):
        read = reference_readout(rule, ours, state, STEPS, row).numpy()
        np.testing.assert_allclose(
            read, theirs, rtol=1e-12, atol=1e-12 * np.abs(theirs).max(initial=0)
        )


def test_members_are_clipped_apart_and_have_their_own_step_and_rows():
    rule = modified(get_rule("adam"), *CLIPPED)
    compiled = kernel(rule, torch.float64)
    rng = np.random.default_rng(4)
    base = hard(rule)
    settings = [base, base | {"lr": 0.1, "max_norm": 0.05}, base | {"beta1": 0.5, "max_norm": 1e9}]
    models = [Model.random(rule, rng, SMALL, torch.float64, [s] * len(SMALL)) for s in settings]
    alone = [model.copy() for model in models]
    firsts = (1, 7, 1000)
    for k in range(20):
        grads = [gradients(rng, model.weights) for model in models]
        kernel_step(compiled, models, grads, [first + k for first in firsts])
        for model, own, first in zip(alone, grads, firsts, strict=True):
            reference(model, own, first + k)
    for ours, theirs in zip(models, alone, strict=True):
        assert_close(ours, theirs, 1e-12)


def test_pieces_of_one_tensor_are_updated_like_tensors_of_their_own():
    """Stacked members lie behind each other in one tensor, some not in use."""
    rule = modified(get_rule("momentum"), "clip_global_norm")
    compiled = kernel(rule, torch.float32)
    rng = np.random.default_rng(5)
    stacked = [torch.from_numpy(rng.normal(size=(3, 40_000)).astype(np.float32)) for _ in range(3)]
    w, g, v = stacked
    apart = [[x[m].clone() for x in stacked] for m in (0, 2)]
    rows = np.array([[3.0, 0.1, 0.9, 0.0, 0.5], [5.0, 0.2, 0.5, 0.3, 2.0]])
    unused = w[1].clone()
    assert list(rule.hypers) == ["lr", "mu", "dampening", "max_norm"]
    pieces = [(0, 0, 40_000, 0), (0, 80_000, 40_000, 1)]
    compiled(addresses([[w], [g], [v]]), rows, plan(compiled, pieces, [0, 1]))
    for row, own in zip(rows, apart, strict=True):
        single = plan(compiled, [(0, 0, 40_000, 0)], [0])
        compiled(addresses([[x] for x in own]), row[None], single)
    assert torch.equal(w[1], unused)
    for m, own in zip((0, 2), apart, strict=True):
        for stack, alone in zip((w, g, v), own, strict=True):
            assert torch.equal(stack[m], alone)


@pytest.mark.parametrize("rule", formulas(), ids=name)
def test_nan_and_infinity_stay_in_their_weight(rule):
    compiled = kernel(rule, torch.float64)  # compiled above
    rng = np.random.default_rng(6)
    clean = Model.random(rule, rng, [(33_000,)], torch.float64, [hard(rule)])
    dirty = clean.copy()
    places = {5: np.nan, 32_900: np.inf, 32_999: -np.inf}
    for step in range(1, 4):
        grads = gradients(rng, clean.weights)
        bad = [g.clone() for g in grads]
        for place, value in places.items():
            bad[0][place] = value
        kernel_step(compiled, [clean], [grads], [step])
        kernel_step(compiled, [dirty], [bad], [step])
    ours, expected = dirty.weights[0].numpy(), clean.weights[0].numpy()
    others = np.delete(np.arange(33_000), list(places))
    np.testing.assert_array_equal(ours[others], expected[others])
    assert np.isnan(ours[5])
    assert not np.isfinite(ours[[32_900, 32_999]]).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clipping_a_gradient_that_is_not_finite_spreads_nan_as_torch_does(value):
    rule = modified(get_rule("sgd"), "clip_global_norm")
    model = Model.random(
        rule, np.random.default_rng(7), SMALL, torch.float32, [hard(rule)] * len(SMALL)
    )
    grads = gradients(np.random.default_rng(8), model.weights)
    grads[0][1, 1] = value
    theirs = [torch.nn.Parameter(w.clone()) for w in model.weights]
    for p, g in zip(theirs, grads, strict=True):
        p.grad = g.clone()
    torch.nn.utils.clip_grad_norm_(theirs, hard(rule)["max_norm"])
    torch.optim.SGD(theirs, lr=hard(rule)["lr"]).step()
    kernel_step(kernel(rule, torch.float32), [model], [grads], [1])
    for ours, p in zip(model.weights, theirs, strict=True):
        torch.testing.assert_close(ours, p.detach(), equal_nan=True, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("modifiers", [(), CLIPPED], ids=["plain", "clipped"])
def test_result_does_not_depend_on_the_number_of_threads(modifiers):
    rule = modified(get_rule("adam"), *modifiers)
    compiled = kernel(rule, torch.float32)
    before = numba.get_num_threads()
    ends = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        rng = np.random.default_rng(9)
        rows = rows_for(rule, len(SHAPES))
        model = Model.random(rule, rng, SHAPES, torch.float32, rows)
        for step in range(1, 6):
            kernel_step(compiled, [model], [gradients(rng, model.weights)], [step])
        ends.append(model)
    numba.set_num_threads(before)
    for one, two in pairwise(ends):
        assert_close(one, two, 0.0)


def test_serial_and_parallel_kernels_are_bit_equal():
    rule = modified(get_rule("momentum"), "clip_global_norm")
    ends = []
    for parallel in (True, False):
        rng = np.random.default_rng(10)
        model = Model.random(rule, rng, SHAPES, torch.float32, rows_for(rule, len(SHAPES)))
        for step in range(1, 4):
            grads = gradients(rng, model.weights)
            kernel_step(kernel(rule, torch.float32, parallel=parallel), [model], [grads], [step])
        ends.append(model)
    assert_close(*ends, 0.0)


def test_kernels_of_other_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"dtype must be torch.float32 or torch.float64, got"):
        kernel(get_rule("sgd"), torch.float16)
