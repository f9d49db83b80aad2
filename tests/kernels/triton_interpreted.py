"""Triton's kernels on the CPU: run by test_triton.py in a process with TRITON_INTERPRET=1."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.kernels import addresses
from ravine.kernels._triton_kernel import interpreted, triton_kernel, triton_plan
from ravine.kernels._triton_launch import CudaLaunch, cuda_launch
from ravine.rules import (
    Rule,
    absolute,
    all_rules,
    exp,
    floor,
    get_rule,
    log,
    maximum,
    mean,
    minimum,
    norm,
    rule,
    sign,
    sqrt,
    total,
    where,
)
from tests.kernels.cases import (
    CLIPPED,
    DECAYED,
    SMALL,
    Model,
    assert_close,
    formulas,
    gradients,
    modified,
    name,
    rates,
    reference,
    rows_for,
)
from tests.kernels.rounding import bounded_step
from tests.kernels.test_kernel import assert_within_rounding

STEPS = 6
# Tensors that end on the border of a chunk of 1024, one behind it and within, a scalar, no weight.
BORDERS = [(2, 1024), (1025,), (), (0,), (1, 2500)]


@rule(state=("a", "b", "c"), scalars={"d": "member", "k": "tensor"}, init={"a": "w", "d": "start"})
def words(w, g, a, b, c, d, k, *, t, lr=0.1, start=0.3, power=1.7):
    """Use every word of the vocabulary, per weight and per row, and sums of sums.

    d depends on the rate: the first tensor of the member decides.
    """
    centred = g - mean(g, over="channel")
    size = norm(centred, over="tensor") / (1 + norm(g, over="member"))
    a = maximum(minimum(a, absolute(g) ** power), exp(-(w**2))) + floor(3 * g)
    b = where(t > 2, b + sign(g) * sqrt(log(1 + absolute(w))), g / (1 + absolute(w)))
    c = where(w > b, c + size, 0.5 * c - exp(-t) * log(t) * t**power)
    d = maximum(d, lr * total(a * g, over="member") / (1 + t)) + floor(t / 3)
    k = minimum(k + size**power, sign(start - 0.5) * lr) + 1
    return w - lr * d * centred * k, a, b, c, d, k


def launch_of(model: Model, grads: Sequence[Tensor]) -> CudaLaunch:
    """Return the launch of a model that has made no step."""
    chosen = model.rule
    rows = np.array([[0.0, *(row[n] for n in chosen.hypers)] for row in model.rows])
    scalars = np.array([[float(s[n]) for n in chosen.scalars] for s in model.states])
    states = {n: [s[n] for s in model.states] for n in chosen.state}
    return cuda_launch(chosen, model.weights, grads, states, scalars.reshape(len(rows), -1), rows)


def step(model: Model, launch: CudaLaunch, grads: Sequence[Tensor]) -> None:
    """Step a model through its launch, with its rows as they are now."""
    hypers = [[row[n] for n in model.rule.hypers] for row in model.rows]
    launch.point_at(grads)
    launch.set_hypers(np.array(hypers))
    launch.step()
    for state, row in zip(model.states, launch.first_rows, strict=True):
        state |= {n: launch.scalars[row, i].clone() for i, n in enumerate(model.rule.scalars)}


def models(chosen: Rule, dtype: torch.dtype, shapes: list[tuple[int, ...]]) -> Model:
    """Return a model with other numbers for each tensor."""
    rng = np.random.default_rng(0)
    return Model.random(chosen, rng, shapes, dtype, rows_for(chosen, len(shapes)))


def moved(model: Model, device: str) -> Model:
    """Return a model whose tensors lie on a device."""
    states = [{n: v.to(device) for n, v in state.items()} for state in model.states]
    return replace(model, weights=[w.to(device) for w in model.weights], states=states)


def run_double(
    chosen: Rule, shapes: list[tuple[int, ...]], steps: int = STEPS, device: str = "cpu"
) -> None:
    rng = np.random.default_rng(1)
    theirs = models(chosen, torch.float64, shapes)
    ours = moved(theirs.copy(), device)
    base = [row["lr"] for row in ours.rows]
    launch = launch_of(ours, moved(theirs.copy(), device).weights)
    for k, factor in enumerate(rates(1.0, steps), start=1):
        for row, other, lr in zip(ours.rows, theirs.rows, base, strict=True):
            row["lr"] = other["lr"] = lr * factor
        grads = gradients(rng, theirs.weights)
        step(ours, launch, [g.to(device) for g in grads])
        reference(theirs, grads, k)
    assert_close(moved(ours, "cpu"), theirs, 1e-12)
    assert (launch.rows[:, 0] == steps).all()


def test_this_process_interprets():
    assert interpreted()


@pytest.mark.parametrize("chosen", all_rules(), ids=name)
def test_every_rule_equals_its_reference(chosen):
    run_double(chosen, SMALL)


@pytest.mark.parametrize(
    "chosen",
    [
        modified(r, ("weight_decay", "decoupled_weight_decay")[i % 2], *CLIPPED[1:])
        for i, r in enumerate(formulas())
    ],
    ids=name,
)
def test_modified_rules_equal_their_reference(chosen):
    run_double(chosen, SMALL, 4)


@pytest.mark.parametrize("modifiers", [(), CLIPPED, ("centralise",)], ids=str)
def test_chunks_meet_at_their_borders(modifiers):
    run_double(modified(get_rule("adam"), *modifiers), BORDERS, 3)


def test_every_word_of_the_vocabulary_and_scalars_equal_the_reference():
    run_double(words, BORDERS)


@pytest.mark.parametrize("chosen", formulas(), ids=name)
def test_single_precision_is_right_to_rounding(chosen):
    """From the same single-precision numbers; scalars are kept in double and compared above."""
    chosen = modified(chosen, *DECAYED)
    rng = np.random.default_rng(2)
    ours = models(chosen, torch.float32, SMALL)
    launch = launch_of(ours, gradients(rng, ours.weights))
    for k in range(1, STEPS):
        grads = gradients(rng, ours.weights)
        arrays = ours.copy().arrays() | {"g": [g.numpy() for g in grads]}
        step(ours, launch, grads)
        if k in (1, STEPS - 1):
            exact = bounded_step(chosen, arrays, ours.rows, k)
            assert_within_rounding(replace(ours, rule=per_weight(chosen)), exact)


def per_weight(chosen: Rule) -> Rule:
    """Return a rule by which a model's arrays are its weights and states alone."""
    return replace(chosen, scalars={})


# Half a unit in the last place; for bfloat16 a whole one, as the interpreter cuts digits off.
HALF = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-11}


@pytest.mark.parametrize("wide_states", [False, True], ids=["half states", "single states"])
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("names", [("adam", *DECAYED), ("rmsprop", *CLIPPED)], ids=str)
def test_half_precision_computes_in_single_precision(names, dtype, wide_states):
    """From the same half-precision numbers: single precision's result, rounded once."""
    chosen = modified(get_rule(names[0]), *names[1:])
    rng = np.random.default_rng(3)
    ours = models(chosen, dtype, BORDERS)
    if wide_states:
        ours.states = [{n: v.float() for n, v in s.items()} for s in ours.states]
    launch = launch_of(ours, gradients(rng, ours.weights))
    for k in range(1, 4):
        grads = gradients(rng, ours.weights)
        single = Model(chosen, *_single(ours), ours.rows)
        step(ours, launch, grads)
        reference(single, [g.float() for g in grads], k)
        for mine, exact in _pairs(ours, single):
            unit = HALF.get(mine.dtype, 2.0**-21)
            torch.testing.assert_close(mine.float(), exact, rtol=unit * 1.01, atol=1e-7)


def _single(model: Model) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    states = [{n: v.float().clone() for n, v in s.items()} for s in model.states]
    return [w.float() for w in model.weights], states


def _pairs(ours: Model, theirs: Model) -> list[tuple[Tensor, Tensor]]:
    pairs = list(zip(ours.weights, theirs.weights, strict=True))
    for mine, other in zip(ours.states, theirs.states, strict=True):
        pairs += [(mine[n], other[n]) for n in mine]
    return pairs


@pytest.mark.parametrize("names", [("adam", *CLIPPED), ("momentum", "centralise")], ids=str)
def test_members_in_slots_have_their_own_rows_and_sums(names):
    """Stacked members lie behind each other in one tensor, and one of them is not in use."""
    chosen = modified(get_rule(names[0]), *names[1:])
    compiled = triton_kernel(chosen, torch.float64)
    shapes, slots, firsts = [(3, 700), (5,), ()], (0, 2), (1, 40)
    rng = np.random.default_rng(4)
    stacked = models(chosen, torch.float64, [(3, *shape) for shape in shapes])
    grads = gradients(rng, stacked.weights)
    alone = [models(chosen, torch.float64, shapes) for _ in slots]
    for model, slot, lr in zip(alone, slots, (0.1, 0.02), strict=True):
        model.weights = [w[slot].clone() for w in stacked.weights]
        model.states = [{n: v[slot].clone() for n, v in s.items()} for s in stacked.states]
        for row in model.rows:
            row["lr"] = lr
    unused = [w[1].clone() for w in stacked.weights]
    plan = triton_plan(compiled, shapes, torch.device("cpu"), slots)
    numbers = [
        [firsts[i] - 1.0, *(alone[i].rows[j][n] for n in chosen.hypers)] for i, j in plan.rows
    ]
    columns = [stacked.weights, grads, *([s[n] for s in stacked.states] for n in chosen.state)]
    kept = torch.zeros(len(numbers), 0, dtype=torch.float64)
    rows = torch.tensor(numbers, dtype=torch.float64)
    compiled(torch.from_numpy(addresses(columns)), rows, kept, plan)
    for model, slot, first in zip(alone, slots, firsts, strict=True):
        reference(model, [g[slot] for g in grads], first)
        for mine, other in zip(stacked.weights, model.weights, strict=True):
            torch.testing.assert_close(mine[slot], other, rtol=0, atol=1e-13)
    assert all(map(torch.equal, unused, [w[1] for w in stacked.weights]))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of the interpreter's NumPy
@pytest.mark.parametrize("names", [("amsgrad", "clip_value"), ("adamax",), ("lion",)], ids=str)
def test_nan_and_infinity_are_kept(names):
    chosen = modified(get_rule(names[0]), *names[1:])
    ours = models(chosen, torch.float32, [(6,)])
    theirs = ours.copy()
    grads = [torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0])]
    launch = launch_of(ours, grads)
    for k in (1, 2):
        step(ours, launch, grads)
        reference(theirs, grads, k)
    for mine, other in _pairs(ours, theirs):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7, equal_nan=True)
    assert ours.weights[0].isnan().any()


def test_unaligned_tensors_and_padding_around_them():
    """Views that begin anywhere are updated, and nothing beside them."""
    chosen = get_rule("momentum")
    ours = models(chosen, torch.float32, [(1500,)])
    held = torch.zeros(1600)
    held[7:1507] = ours.weights[0]
    theirs = ours.copy()
    ours.weights = [held[7:1507]]
    grads = gradients(np.random.default_rng(5), ours.weights)
    step(ours, launch_of(ours, grads), grads)
    reference(theirs, grads, 1)
    torch.testing.assert_close(ours.weights[0], theirs.weights[0], rtol=0, atol=1e-6)
    assert (held[:7] == 0).all()
    assert (held[1507:] == 0).all()


def test_a_step_counts_as_a_change_of_the_parameters():
    weight = torch.ones(3, requires_grad=True)
    before = weight._version
    rows, scalars = np.array([[0.0, 0.1]]), np.zeros((1, 0))
    cuda_launch(get_rule("sgd"), [weight], [torch.ones(3)], {}, scalars, rows).step()
    assert weight._version > before
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.9))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gradients": [torch.ones(2, 3).double()]}, r"gradients\[0\] must have device, dtype"),
        ({"gradients": [torch.ones(3, 2).T]}, r"gradients\[0\] must have device, dtype"),
        ({"states": {"v": [torch.ones(6)]}}, r"state v\[0\] must have device, dtype"),
        ({"states": {"v": [torch.ones(2, 3).double()]}}, "state_dtype must be torch.float32"),
        ({"parameters": [torch.ones(12)[::2]]}, r"parameters\[0\] must be contiguous"),
        ({"parameters": [torch.ones(2, 3).long()]}, "dtype must be one of torch.float32, "),
        ({"parameters": [torch.ones(3, 2).T]}, r"parameters\[0\] must be contiguous"),
    ],
    ids=str,
)
def test_tensors_that_do_not_fit_are_refused(changed, message):
    given = {
        "parameters": [torch.ones(2, 3)],
        "gradients": [torch.ones(2, 3)],
        "states": {"v": [torch.ones(2, 3)]},
    } | changed
    chosen = modified(get_rule("momentum"), "centralise")
    rows = np.array([[0.0, *chosen.hypers.values()]])
    with pytest.raises(SettingError, match=message):
        cuda_launch(chosen, **given, scalars=np.zeros((1, 0)), rows=rows)
