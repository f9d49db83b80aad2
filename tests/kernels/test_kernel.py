"""Kernel, reference step and the NumPy oracle: one formula, three ways."""

import numpy as np
import pytest
import torch

from ravine.kernels import addresses, kernel, plan
from ravine.rules import Rule, all_rules, get_rule, reference_readout
from tests.kernels.cases import (
    CLIPPED,
    DECAYED,
    SHAPES,
    SMALL,
    STEPS,
    Model,
    assert_close,
    formulas,
    gradients,
    hard,
    kernel_step,
    modified,
    name,
    rates,
    reference,
    rows_for,
)
from tests.kernels.rounding import bounded_step
from tests.reference.rules import RULES, Oracle


def run_double(rule: Rule, shapes: list[tuple[int, ...]], steps: int) -> None:
    rng = np.random.default_rng(0)
    compiled = kernel(rule, torch.float64)
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
    run_double(rule, SMALL, STEPS)


MODIFIED = [
    modified(rule, ("weight_decay", "decoupled_weight_decay")[i % 2], *CLIPPED[1:])
    for i, rule in enumerate(formulas())
]


@pytest.mark.parametrize("rule", MODIFIED, ids=name)
def test_modified_kernel_equals_reference_over_100_steps(rule):
    run_double(rule, SMALL, STEPS)


@pytest.mark.parametrize("modifiers", [(), CLIPPED], ids=["plain", "clipped"])
def test_kernel_equals_reference_across_chunks(modifiers):
    run_double(modified(get_rule("adam"), *modifiers), SHAPES, 10)


def assert_within_rounding(model: Model, exact: dict) -> None:
    for n, column in model.arrays().items():
        for i, entries in enumerate(column):
            off = np.abs(entries.astype(np.float64) - exact[n].value[i])
            # The smallest normal number: below it rounding is no longer relative. Numbers per
            # row are doubles, computed by other library functions than NumPy's.
            least = np.maximum(1.2e-38, 2.0**-50 * np.abs(exact[n].value[i]))
            allowed = np.broadcast_to(exact[n].error[i] + least, off.shape)
            assert (off <= allowed).all(), (n, i, np.max(off / allowed))


def run_single(rule: Rule, shapes: list[tuple[int, ...]], steps: int) -> None:
    """Compare steps with the exact result from the same float32 numbers."""
    rng = np.random.default_rng(1)
    compiled = kernel(rule, torch.float32)
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
    run_single(modified(rule, *DECAYED), SMALL, STEPS)


@pytest.mark.parametrize("modifiers", [(), CLIPPED], ids=["plain", "clipped"])
def test_single_precision_is_right_to_rounding_across_chunks(modifiers):
    run_single(modified(get_rule("adam"), *modifiers), SHAPES, 3)


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
    none = np.zeros((2, 0))
    compiled(addresses([[w], [g], [v]]), rows, none, plan(compiled, [(40_000,)], (0, 2)))
    for row, own in zip(rows, apart, strict=True):
        single = plan(compiled, [(40_000,)])
        compiled(addresses([[x] for x in own]), row[None], none[:1], single)
    assert torch.equal(w[1], unused)
    for m, own in zip((0, 2), apart, strict=True):
        for stack, alone in zip((w, g, v), own, strict=True):
            assert torch.equal(stack[m], alone)


TABLES = {
    "a row too many": lambda given: given | {"rows": np.ones((3, 2))},
    "a number too few": lambda given: given | {"rows": np.ones((2, 1))},
    "single precision": lambda given: given | {"rows": np.ones((2, 2), np.float32)},
    "gaps": lambda given: given | {"rows": np.ones((2, 4))[:, ::2]},
    "an array too few": lambda given: given | {"tensors": np.zeros((2, 1), np.int64)},
}


@pytest.mark.parametrize("wrong", TABLES)
def test_tables_that_do_not_fit_are_refused(wrong):
    """Compiled code takes them by their addresses: what is wrong there would not be seen."""
    compiled = kernel(get_rule("sgd"), torch.float64)
    tensors = addresses([[torch.ones(3), torch.ones(4)]] * 2)
    given = {"tensors": tensors, "rows": np.ones((2, 2)), "scalars": np.ones((2, 0))}
    given["plan"] = plan(compiled, [(3,), (4,)])
    with pytest.raises(ValueError, match="kernel's table must be"):
        compiled(**TABLES[wrong](given))
