"""Every registered rule, and wrappers around some: a member in a block equals a plain loop.

The loop calls the formula itself with torch tensors, which other tests hold against NumPy and
other libraries. Here it is about what a block adds: slots, scalars, second gradients, readouts.
"""

from unittest import mock

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from ravine.population import Member
from ravine.problems import Problem
from ravine.rules import (
    all_rules,
    ascent_rule,
    get_rule,
    initial_state,
    modifiers,
    reference_readout,
    reference_step,
)
from tests.population.making import (
    assert_equal,
    finish,
    images,
    in_block,
    normalised,
    told,
    uncompiled,
    vectors,
)
from tests.population.models import batchnorm1d, without_batchnorm
from tests.reference.training import Trained

STEPS = 12
WRAPPED = [
    modifiers.centralise(get_rule("momentum")),
    modifiers.sam(modifiers.clip_global_norm(get_rule("adam"))),
    modifiers.cautious(get_rule("lion")),
    modifiers.ema(get_rule("nesterov", "lecture")),
    modifiers.lookahead(get_rule("prodigy")),
    modifiers.fully_decoupled_weight_decay(modifiers.clip_value(get_rule("adagrad"))),
    modifiers.ema(modifiers.clip_norm(get_rule("schedule_free_adamw"))),
]
RULES = [*all_rules(), *WRAPPED]


def plain(problem, one, steps, total):
    """Train one member alone with its formula, a schedule only where the rule takes one."""
    model = problem.build(one.seed, torch.float64).train()
    weights = list(model.parameters())
    states = [initial_state(one.rule, w.detach(), one.hypers) for w in weights]
    x, y = normalised(problem, one.seed), problem.data.y
    per_epoch = problem.steps_per_epoch(problem.batch)
    losses = []
    for k in range(steps):
        rows = torch.from_numpy(problem.order(one.seed, k // per_epoch)[k % per_epoch])
        factor = (1 + np.cos(np.pi * k / total)) / 2 if one.rule.scheduled else 1.0
        hypers = {**one.hypers, "lr": one.hypers["lr"] * factor}
        stored = [w.detach().clone() for w in weights]
        buffers = [b.clone() for b in model.buffers()]
        loss = cross_entropy(model(x[rows]), y[rows])
        grads = torch.autograd.grad(loss, weights)
        if one.rule.ascent is not None:
            way, nothing = ascent_rule(one.rule), [{} for _ in weights]
            points, _ = reference_step(way, stored, grads, nothing, k + 1, hypers)
            once = [b.clone() for b in model.buffers()]
            put([*weights, *model.buffers()], [*points, *buffers])
            grads = torch.autograd.grad(cross_entropy(model(x[rows]), y[rows]), weights)
            put([*model.buffers()], once)
        new, states = reference_step(one.rule, stored, grads, states, k + 1, hypers)
        put(weights, new)
        losses.append(loss.item())
    hypers["lr"] = one.hypers["lr"] * (
        (1 + np.cos(np.pi * steps / total)) / 2 if one.rule.scheduled else 1.0
    )
    read = [
        reference_readout(one.rule, w.detach(), s, steps, hypers)
        for w, s in zip(weights, states, strict=True)
    ]
    put(weights, read)
    named = {n: p.detach().numpy() for n, p in model.named_parameters()}
    return Trained(named, {n: b.numpy() for n, b in model.named_buffers()}, np.array(losses))


def put(tensors, values):
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)


def members_of(rules):
    # A tenth of the default rate where that is 1, as of rules that find their own.
    return [
        Member(i, f"{r.name}{i}", r, {"lr": min(r.hypers["lr"] * 5, 0.1)}, i % 2)
        for i, r in enumerate(rules)
    ]


@pytest.mark.parametrize("model", ["mlp:5:tanh", batchnorm1d])
def test_every_rule_beside_all_others(model):
    problem = Problem(model, vectors(), batch=16, epochs=15)
    states = max(len(rule.state) for rule in RULES)
    members = members_of(RULES)
    settings = {"workers": 1, "largest": 48, "dtype": torch.float64, "states": states}
    population = uncompiled(problem, schedule="cosine", **settings)
    total = population.budget.steps
    for first in range(0, len(members), population.slots):
        some = members[first : first + population.slots]
        for one, end in zip(some, in_block(population, some, STEPS), strict=True):
            theirs = plain(problem, one, STEPS, total)
            moved = theirs.losses[-1] != theirs.losses[0]
            assert moved, one.rule
            try:
                assert_equal(end, theirs)
            except AssertionError as error:
                raise AssertionError(f"{one.rule}: {error}") from error


@pytest.mark.parametrize(
    "rule", [get_rule("sam"), get_rule("prodigy"), get_rule("schedule_free_sgd"), WRAPPED[0]]
)
def test_one_member_at_a_time_gives_the_same(rule):
    """The serial path, for models that cannot be stacked; with dropout, whose masks are keyed."""
    problem = Problem(without_batchnorm, images(), batch=16, epochs=4)
    settings = {"workers": 1, "largest": 2, "dtype": torch.float64, "states": len(rule.state)}
    one = Member(0, rule.name, rule, {"lr": 0.05}, 3)
    stacked = uncompiled(problem, **settings)
    with mock.patch("ravine.population._population.why_not_stackable", lambda *_: "told so"):
        serial = uncompiled(problem, **settings)
    ends = [finish(population, [one], test=True)[0] for population in (stacked, serial)]
    assert ends[0].status == ends[1].status == "ok"
    for name in ("train_loss", "val_loss", "test_loss"):
        np.testing.assert_allclose(getattr(ends[0], name), getattr(ends[1], name), rtol=1e-9)


def test_scalars_outlive_the_coming_and_going_of_neighbours():
    """Slots are filled anew while a member with scalars trains on."""
    problem = Problem("linear", vectors(), batch=16, epochs=6)
    settings = {"workers": 1, "states": 5, "memory_gb": 2.0}
    prodigy = [Member(i, "prodigy", get_rule("prodigy"), {"lr": 1.0}, i) for i in range(3)]
    wild = [Member(10 + i, "sgd", get_rule("sgd"), {"lr": 1e38}, i) for i in range(60)]
    population = uncompiled(problem, largest=48, **settings)
    alone = finish(population, prodigy)
    together = finish(population, [*wild[:50], *prodigy, *wild[50:]])
    assert all(told(alone[i]) == told(together[i]) for i in range(3))
    # Neighbours did leave their slots on the way.
    assert sum(together[10 + i].status == "diverged" for i in range(60)) > 30


@pytest.mark.parametrize(("model", "said"), [(batchnorm1d, 1), ("linear", 0)])
def test_statistics_of_other_weights_are_not_passed_over_in_silence(model, said):
    notices = []
    problem = Problem(model, vectors(), batch=16, epochs=1)
    population = uncompiled(problem, workers=1, largest=2, notice=notices.append)
    rules = [get_rule("schedule_free_sgd"), get_rule("sgd")]
    finish(population, [Member(i, r.name, r, {}, 0) for i, r in enumerate(rules)])
    about = [n for n in notices if "BatchNorm" in n]
    assert len(about) == said
    assert all(n.startswith("schedule_free_sgd: evaluated weights differ") for n in about)
