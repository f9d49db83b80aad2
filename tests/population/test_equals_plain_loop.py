"""A member in a block equals the same member trained alone by the plain loop: 1e-9, float64."""

import numpy as np
import pytest
import torch
from torch import nn

from ravine.population import Member
from ravine.problems import Problem
from ravine.rules import get_rule, norm, rule
from ravine.rules.modifiers import clip_global_norm, decoupled_weight_decay, weight_decay
from tests.population.making import (
    EIGHT,
    RATES,
    assert_equal,
    images,
    in_block,
    member,
    numbers,
    plain,
    squares,
    uncompiled,
    vectors,
)
from tests.population.models import batchnorm1d, batchnorm2d
from tests.reference.rules import Oracle

STEPS = 50


def _problem(model="mlp:8:tanh", data=None, **settings):
    settings = {"batch": 16, "epochs": 15, **settings}
    return Problem(model, vectors() if data is None else data, **settings)


def _population(problem, members, **settings):
    settings = {"schedule": "cosine", "workers": 1, "largest": len(members), **settings}
    return uncompiled(problem, dtype=torch.float64, **settings)


def _compare(problem, members, schedule="cosine", **settings):
    population = _population(problem, members, schedule=schedule)
    total = population.budget.steps
    steps = min(STEPS, total)
    ends = in_block(population, members, steps)
    for one, end in zip(members, ends, strict=True):
        assert_equal(end, plain(problem, one, steps, total, schedule, **settings))
    return ends


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_every_rule_of_both_conventions(schedule):
    members = [
        member(i, name, seed=i % 3, convention=convention)
        for i, (name, convention) in enumerate((n, c) for n in EIGHT for c in ("torch", "lecture"))
    ]
    ends = _compare(_problem(), members, schedule)
    firsts = {end.losses[0] for end in ends}
    assert len(firsts) == 3  # a start per seed
    assert len({end.losses[-1] for end in ends}) > 12  # and nearly every rule its own end


@pytest.mark.parametrize("loss", ["hinge", "softmax"])
@pytest.mark.parametrize("model", ["linear", "mlp:7,5", "mlp:6:sigmoid", "mlp:9:leaky_relu"])
def test_models_and_losses(model, loss):
    def hinge(scores, labels):
        right = scores[torch.arange(len(labels)), labels]
        margins = (scores - right[:, None] + 1).clamp(min=0)
        return (margins.sum(1) - 1).mean()  # the label's own margin is 1

    own = {"loss": hinge} if loss == "hinge" else {}
    members = [member(i, name, seed=i) for i, name in enumerate(("momentum", "adam", "sgd"))]
    _compare(_problem(model, loss=loss), members, **own)


def test_float_targets_and_a_loss_of_ones_own():
    members = [member(0, "sgd", 0.01), member(1, "nesterov", 1e-3, seed=5, convention="lecture")]
    _compare(_problem("mlp:4:tanh", numbers(), loss=squares), members, loss=squares)


@pytest.mark.parametrize("batch", ["full", 1])
def test_batch_and_stochastic_descent(batch):
    problem = _problem(data=vectors(75), batch=batch, epochs=50 if batch == "full" else 1)
    members = [member(i, name, seed=i) for i, name in enumerate(("sgd", "momentum", "adam"))]
    ends = _compare(problem, members)
    assert len(ends[0].losses) >= 45


@pytest.mark.parametrize(("model", "data"), [(batchnorm1d, vectors), (batchnorm2d, images)])
def test_batchnorm_and_its_running_statistics(model, data):
    members = [
        member(i, name, seed=i, convention=("torch", "lecture")[i % 2])
        for i, name in enumerate(EIGHT)
    ]
    ends = _compare(_problem(model, data()), members)
    statistics = {n: b for n, b in ends[0].buffers.items() if n.endswith("num_batches_tracked")}
    assert [int(b) for b in statistics.values()] == [STEPS]


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw"])
def test_modifiers(name):
    inner = get_rule(name)
    decayed = inner if name == "adamw" else weight_decay(inner)
    own = {} if name == "adamw" else {"weight_decay": 0.1}
    clipped = clip_global_norm(decayed)
    hypers = {"lr": RATES[name], "max_norm": 0.3, **own}
    members = [Member(seed, name, clipped, hypers, seed) for seed in range(2)]
    problem = _problem()
    population = _population(problem, members)
    total = population.budget.steps
    ends = in_block(population, members, STEPS)
    for one, end in zip(members, ends, strict=True):
        oracle = Oracle(name, clip=0.3, **own)
        assert_equal(end, plain(problem, one, STEPS, total, "cosine", oracle=oracle))


def test_members_of_modified_and_plain_rules_beside_each_other():
    decoupled = decoupled_weight_decay(get_rule("momentum", "lecture"))
    one = Member(0, "decayed", decoupled, {"lr": 0.05, "weight_decay": 0.2}, 1)
    problem, other = _problem(), member(1, "momentum", seed=1, convention="lecture")
    population = _population(problem, [one, other])
    total = population.budget.steps
    ends = in_block(population, [one, other], STEPS)
    oracle = Oracle("momentum", "lecture", decoupled=0.2)
    assert_equal(ends[0], plain(problem, one, STEPS, total, "cosine", oracle=oracle))
    assert_equal(ends[1], plain(problem, other, STEPS, total, "cosine"))


@rule(state=("v",))
def scaled(w, g, v, *, lr=0.1, trust=0.1, mu=0.9):
    """Scale the step of each tensor by the ratio of its norms, as LARS does."""
    ratio = trust * norm(w, over="tensor") / (norm(g, over="tensor") + 1e-9)
    v = mu * v + lr * ratio * g
    return w - v, v


class _Scaled:
    """The same in NumPy, with the interface of the oracle rules."""

    def __init__(self, trust):
        self.trust, self.v = trust, None

    def query(self, weights):
        return list(weights)

    def step(self, weights, grads, lr):
        self.v = self.v or [np.zeros_like(w) for w in weights]
        ratios = [
            self.trust * np.sqrt((w**2).sum()) / (np.sqrt((g**2).sum()) + 1e-9)
            for w, g in zip(weights, grads, strict=True)
        ]
        self.v = [0.9 * v + lr * r * g for v, r, g in zip(self.v, ratios, grads, strict=True)]
        return [w - v for w, v in zip(weights, self.v, strict=True)]


def test_a_rule_with_a_norm_per_tensor():
    def factory(shape, classes):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, classes))
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(p, std=0.1)  # a bias of norm 0 would never move
        return model

    problem = _problem(factory)
    members = [Member(i, "scaled", scaled, {"trust": (0.1, 0.3)[i % 2]}, i) for i in range(3)]
    population = _population(problem, [*members, member(9)])
    total = population.budget.steps
    ends = in_block(population, [*members, member(9)], STEPS)
    for one, end in zip(members, ends[:3], strict=True):
        oracle = _Scaled(one.hypers["trust"])
        assert_equal(end, plain(problem, one, STEPS, total, "cosine", oracle=oracle))


def test_a_state_that_starts_elsewhere_than_at_zero():
    one = member(0, "momentum", 0.05, convention="lecture", initial_velocity=0.01)
    problem = _problem()
    population = _population(problem, [member(1, "adam"), one])
    # The slot has held other states before.
    in_block(population, [one, member(1, "adam")], 3)
    ends = in_block(population, [member(1, "adam"), one], STEPS)
    oracle = Oracle("momentum", "lecture")
    shapes = [tuple(p.shape) for p in problem.build(0).parameters()]
    oracle.state = [{"v": np.full(shape, 0.01)} for shape in shapes]
    total = population.budget.steps
    assert_equal(ends[1], plain(problem, one, STEPS, total, "cosine", oracle=oracle))


def test_frozen_parameters_stay_and_count_in_no_norm():
    def frozen(shape, classes):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, classes))
        return model.requires_grad_(False) and model[2].requires_grad_(True) and model

    class AsBuffers(nn.Module):
        """The same model to the plain loop, which trains every parameter."""

        def __init__(self, model):
            super().__init__()
            self.register_buffer("weight", model[0].weight.detach())
            self.register_buffer("bias", model[0].bias.detach())
            self.last = model[2]

        def forward(self, x):
            return self.last(torch.tanh(nn.functional.linear(x, self.weight, self.bias)))

    problem = _problem(frozen)
    clipped = clip_global_norm(get_rule("momentum"))
    members = [Member(i, "clipped", clipped, {"lr": 0.3, "max_norm": 0.1}, i) for i in range(2)]
    population = _population(problem, members)
    total = population.budget.steps
    ends = in_block(population, members, STEPS)
    for one, end in zip(members, ends, strict=True):
        model = AsBuffers(problem.build(one.seed, torch.float64))
        oracle = Oracle("momentum", clip=0.1)
        theirs = plain(problem, one, STEPS, total, "cosine", oracle=oracle, model=model)
        renamed = {n.replace("last", "2"): p for n, p in theirs.parameters.items()}
        fixed = {f"0.{name}": b for name, b in theirs.buffers.items()}
        assert_equal(end, theirs._replace(parameters=renamed, buffers=fixed))


def test_gradients_and_buffers_that_are_alike_for_all_members():
    """What does not depend on the member leaves vmap as one tensor seen through every slot."""

    class Flagged(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 1)
            self.register_buffer("flag", torch.zeros(3, dtype=torch.float64))

        def forward(self, x):
            if self.training:
                self.flag = torch.ones(3, dtype=torch.float64)
            return self.last(x) * (1 + self.flag.sum())

    def mean(outputs, targets):
        return outputs.mean()  # the bias's gradient is a constant

    problem = _problem(lambda shape, outputs: Flagged(), numbers(), loss=mean)
    members = [member(i, lr=1e-3, seed=i) for i in range(3)]
    ends = _compare(problem, members, loss=mean)
    assert all((end.buffers["flag"] == 1).all() for end in ends)
    # A member that begins in one slot leaves the buffers of the others alone.
    population = _population(problem, members)
    in_block(population, members, 2)
    block = population._prepared()
    block.put(1, members[0])
    assert [buffer.tolist() for buffer in block.buffers[0]] == [[1] * 3, [0] * 3, [1] * 3]


def test_tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
            self.down.weight = self.up.weight

        def forward(self, x):
            return self.last(torch.tanh(self.down(torch.tanh(self.up(x)))))

    members = [member(i, name, seed=i) for i, name in enumerate(("momentum", "adam"))]
    _compare(_problem(lambda shape, classes: Tied()), members)


def test_memory_format_of_the_model_does_not_matter():
    def channels_last(shape, classes):
        layers = [nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 5, 3), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(5 * 4, classes))
        return model.to(memory_format=torch.channels_last)

    members = [member(i, name, seed=i) for i, name in enumerate(("momentum", "adagrad"))]
    _compare(_problem(channels_last, images()), members)


def test_one_slot_starts_every_member_of_a_seed_from_the_same_weights():
    problem, one = _problem(), member(0, "sgd")
    population = _population(problem, [one])
    total = population.budget.steps
    for _ in range(2):
        (end,) = in_block(population, [one], STEPS)
        assert_equal(end, plain(problem, one, STEPS, total, "cosine"))
