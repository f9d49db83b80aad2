"""The oracles themselves, against `torch.optim` and the closed forms of the course."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tests.reference.rules import RULES, Oracle, clipped
from tests.reference.training import train_member

SHAPES = [(3, 4), (5,), (2, 2, 2)]

# name, the oracle's own settings, the torch optimizer, its settings
PAIRS = [
    ("sgd", {}, torch.optim.SGD, {}),
    ("momentum", {}, torch.optim.SGD, {"momentum": 0.9}),
    ("momentum", {"momentum": 0.8, "dampening": 0.3}, torch.optim.SGD, None),
    ("nesterov", {}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    ("adagrad", {}, torch.optim.Adagrad, {}),
    ("adagrad", {"lr_decay": 0.1, "eps": 1e-3}, torch.optim.Adagrad, None),
    ("adadelta", {}, torch.optim.Adadelta, {}),
    ("adadelta", {"rho": 0.95, "eps": 1e-4}, torch.optim.Adadelta, None),
    ("rmsprop", {}, torch.optim.RMSprop, {}),
    ("rmsprop", {"alpha": 0.7, "eps": 1e-3}, torch.optim.RMSprop, None),
    ("adam", {}, torch.optim.Adam, {}),
    ("adam", {"beta1": 0.5, "beta2": 0.8, "eps": 1e-3}, torch.optim.Adam, {
        "betas": (0.5, 0.8), "eps": 1e-3}),
    ("adamw", {}, torch.optim.AdamW, {}),
]  # fmt: skip


def _assert_like_torch(oracle, optimizer_class, settings, *, lr=0.05, clip=None):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in SHAPES]
    tensors = [nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
    optimizer = optimizer_class(tensors, lr=lr, foreach=False, **settings)
    for _ in range(100):
        grads = [rng.normal(size=shape) * 10.0 ** rng.uniform(-3, 1) for shape in SHAPES]
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(g.copy())
        if clip is not None:
            nn.utils.clip_grad_norm_(tensors, clip)
        optimizer.step()
        weights = oracle.step(weights, grads, lr)
        for w, tensor in zip(weights, tensors, strict=True):
            np.testing.assert_allclose(w, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "own", "optimizer_class", "settings"), PAIRS)
def test_rules_equal_torch(name, own, optimizer_class, settings):
    _assert_like_torch(Oracle(name, **own), optimizer_class, own if settings is None else settings)


@pytest.mark.parametrize(("name", "own", "optimizer_class", "settings"), PAIRS)
def test_rules_with_coupled_decay_maximize_and_clipping_equal_torch(
    name, own, optimizer_class, settings
):
    # AdamW's weight_decay is the decoupled one, in torch as here.
    decay = {"decoupled": 0.1} if name == "adamw" else {"weight_decay": 0.1}
    oracle = Oracle(name, **own, **decay, maximize=True, clip=1.5)
    theirs = (own if settings is None else settings) | {"weight_decay": 0.1, "maximize": True}
    _assert_like_torch(oracle, optimizer_class, theirs, clip=1.5)


def test_decoupled_decay_of_any_rule_shrinks_the_weight_by_lr_times_decay():
    w, g = [np.array([2.0, -3.0])], [np.zeros(2)]
    for convention, rules in RULES.items():
        for name in rules:
            (new,) = Oracle(name, convention, decoupled=0.5).step(w, g, 0.1)
            np.testing.assert_allclose(new, w[0] * 0.95, rtol=1e-15, err_msg=name)


def test_clipping_scales_all_tensors_by_one_factor_and_leaves_small_gradients():
    grads = [np.array([3.0]), np.array([[4.0]])]
    small = [g.item() for g in clipped(grads, 1.0)]
    np.testing.assert_allclose(small, np.array([3, 4]) / (5 + 1e-6), rtol=1e-15)
    assert [g.item() for g in clipped(grads, 6.0)] == [3, 4]


def test_unknown_hyper_parameter_fails():
    with pytest.raises(TypeError, match="momentum"):
        Oracle("adam", momentum=0.9)


def test_lecture_momentum_unrolls_and_ends_at_the_terminal_step():
    gamma, lr = 0.9, 0.01
    oracle, w = Oracle("momentum", "lecture"), [np.zeros(1)]
    grads = np.random.default_rng(1).normal(size=30)
    for g in grads:
        w = oracle.step(w, [np.array([g])], lr)
    unrolled = sum(gamma ** (29 - i) * lr * g for i, g in enumerate(grads))
    np.testing.assert_allclose(oracle.state[0]["v"], unrolled, rtol=1e-12)
    for _ in range(400):
        w = oracle.step(w, [np.array([2.0])], lr)
    np.testing.assert_allclose(oracle.state[0]["v"], lr * 2.0 / (1 - gamma), rtol=1e-12)


def test_conventions_differ_once_the_rate_changes():
    w, g = [np.ones(1)], [np.ones(1)]
    ends = []
    for convention in ("torch", "lecture"):
        oracle, at = Oracle("momentum", convention), w
        for lr in (0.1, 0.01):
            at = oracle.step(at, g, lr)
        ends.append(at[0].item())
    # torch: 0.1 + 0.01 * 1.9; lecture: 0.1 + (0.09 + 0.01)
    np.testing.assert_allclose(ends, [1 - 0.119, 1 - 0.2], rtol=1e-12)


@pytest.mark.parametrize("convention", ["torch", "lecture"])
def test_first_step_of_adam_is_the_rate_whatever_the_gradient(convention):
    g = np.array([1e-3, -5.0, 1e4])
    (new,) = Oracle("adam", convention, eps=0.0).step([np.zeros(3)], [g], 0.02)
    np.testing.assert_allclose(new, -0.02 * np.sign(g), rtol=1e-12)


def test_lecture_defaults_of_the_adaptive_rules():
    first = {}
    for name in ("adagrad", "rmsprop"):
        (first[name],) = Oracle(name, "lecture").step([np.zeros(1)], [np.full(1, 1e-8)], 1.0)
    np.testing.assert_allclose(first["adagrad"], -0.5, rtol=1e-12)  # eps 1e-8, outside the root
    np.testing.assert_allclose(first["rmsprop"], -1 / (np.sqrt(0.1) + 1), rtol=1e-12)  # beta 0.9


def _bowl(name, convention="lecture", steps=300):
    """Descend L = w^2 / 2 from 1 at rate 0.1 and return w at every step."""
    oracle, path = Oracle(name, convention), [np.ones(1)]
    for _ in range(steps):
        path.append(oracle.step([path[-1]], oracle.query([path[-1]]), 0.1)[0])
    return np.concatenate(path)


@pytest.mark.parametrize(
    ("name", "overshoot", "steps"),
    [("sgd", None, 66), ("momentum", -0.60, 129), ("nesterov", -0.35, 63)],
)
def test_bowl_numbers_of_the_course(name, overshoot, steps):
    path = _bowl(name)
    assert np.flatnonzero(np.abs(path) >= 1e-3).max() + 1 == steps
    if overshoot is None:
        assert (path > 0).all()
    else:
        turn = np.flatnonzero(np.diff(path) > 0)[0]  # the first step upwards ends the overshoot
        assert round(path[turn], 2) == overshoot


def test_torch_nesterov_holds_the_look_ahead_point_of_the_lecture():
    lecture, w = Oracle("nesterov", "lecture"), [np.array([1.0, -2.0])]
    torchs, p = Oracle("nesterov", "torch"), [np.array([1.0, -2.0])]
    curvature = np.array([1.0, 7.0])
    for _ in range(100):
        w = lecture.step(w, [curvature * lecture.query(w)[0]], 0.05)
        p = torchs.step(p, [curvature * p[0]], 0.05)
        np.testing.assert_allclose(p[0], lecture.query(w)[0], rtol=1e-12, atol=1e-12)


def _batchnorm_case():
    torch.manual_seed(0)
    # No bias under BatchNorm: its gradient is zero but for rounding, which Adam blows up.
    hidden = [nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU()]
    model = nn.Sequential(*hidden, nn.Linear(8, 3)).double()
    rng = np.random.default_rng(2)
    x, y = torch.from_numpy(rng.normal(size=(40, 6))), torch.from_numpy(rng.integers(0, 3, 40))
    return model, x, y, np.stack([rng.permutation(40)[:16] for _ in range(50)])


def test_training_equals_a_torch_loop_with_batchnorm():
    model, x, y, order = _batchnorm_case()
    rate = lambda k: 0.01 * 0.97**k  # noqa: E731
    trained = train_member(model, x, y, order, Oracle("adam"), rate, cross_entropy)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate(0))
    for k, rows in enumerate(torch.from_numpy(order)):
        optimizer.param_groups[0]["lr"] = rate(k)
        optimizer.zero_grad()
        value = cross_entropy(model(x[rows]), y[rows])
        value.backward()
        optimizer.step()
        np.testing.assert_allclose(trained.losses[k], value.item(), rtol=1e-10)
    for name, tensor in model.state_dict().items():
        ours = (trained.parameters | trained.buffers)[name]
        np.testing.assert_allclose(ours, tensor.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


def test_training_reads_the_lecture_nesterov_weights_at_the_end():
    model, x, y, order = _batchnorm_case()
    settings = (x, y, order)
    lecture = Oracle("nesterov", "lecture")
    plain = train_member(model, *settings, lecture, lambda k: 0.05, cross_entropy)
    stored = train_member(model, *settings, Oracle("nesterov"), lambda k: 0.05, cross_entropy)
    np.testing.assert_allclose(plain.losses, stored.losses, rtol=1e-10)
    ahead = lecture.query(list(plain.parameters.values()))
    for ours, theirs in zip(ahead, stored.parameters.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
