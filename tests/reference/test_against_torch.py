"""The oracles against `torch.optim`: 100 steps in float64 at settings that use every term."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.reference import modifiers
from tests.reference.oracles import CLOSURES, ORACLES
from tests.reference.stepping import trajectory

SHAPES = [(3, 4), (5,), (2, 2, 2)]
STEPS = 100
OPTIM = torch.optim


@pytest.fixture(autouse=True)
def _double_scalars():
    # ASGD's eta and NAdam's product of momenta are kept in the default dtype.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def _gradients(shapes, seed):
    """Gradients over four decades, with zeros: one whole tensor, and elements at random."""
    rng = np.random.default_rng(seed)
    for k in range(STEPS):
        gs = [rng.normal(size=s) * 10.0 ** rng.uniform(-3, 1) for s in shapes]
        gs = [g * (rng.uniform(size=g.shape) > 0.1) for g in gs]
        if k == 40:
            gs[1] *= 0
        yield gs


def _assert_equal(step, hypers, optimizer_class, settings, shapes=SHAPES):
    rng = np.random.default_rng(0)
    ws = [rng.normal(size=s) for s in shapes]
    tensors = [nn.Parameter(torch.from_numpy(w.copy())) for w in ws]
    optimizer = optimizer_class(tensors, **settings)
    state: dict = {}
    for t, gs in enumerate(_gradients(shapes, 1), 1):
        for tensor, g in zip(tensors, gs, strict=True):
            tensor.grad = torch.from_numpy(g.copy())
        optimizer.step()
        ws = step(ws, lambda _, gs=gs: gs, state, t, **hypers)
        for w, tensor in zip(ws, tensors, strict=True):
            np.testing.assert_allclose(w, tensor.detach().numpy(), rtol=1e-11, atol=1e-12)
    return state, optimizer


BETAS = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-4}
ADAM = {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4}
MU = {"mu": 0.8}
RMS = {"lr": 0.02, "beta": 0.7, "eps": 1e-3}
TORCH_RMS = {"lr": 0.02, "alpha": 0.7, "eps": 1e-3}

# rule, hyper-parameters of the oracle, class of torch, its settings
PAIRS = [
    ("sgd", {"lr": 0.1}, OPTIM.SGD, {"lr": 0.1}),
    ("momentum", {"lr": 0.1, "dampening": 0.3, **MU}, OPTIM.SGD,
     {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    ("nesterov", {"lr": 0.1, **MU}, OPTIM.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    ("asgd", {"lr": 0.1, "lambd": 0.05, "alpha": 0.6, "t0": 20.0}, OPTIM.ASGD,
     {"lr": 0.1, "lambd": 0.05, "alpha": 0.6, "t0": 20.0}),
    ("adagrad", {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.2},
     OPTIM.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.2}),
    ("adadelta", {"lr": 0.5, "rho": 0.95, "eps": 1e-4}, OPTIM.Adadelta,
     {"lr": 0.5, "rho": 0.95, "eps": 1e-4}),
    ("rmsprop", RMS, OPTIM.RMSprop, TORCH_RMS),
    ("rmsprop_centred", RMS, OPTIM.RMSprop, {**TORCH_RMS, "centered": True}),
    ("rmsprop_momentum", RMS | MU, OPTIM.RMSprop, {**TORCH_RMS, "momentum": 0.8}),
    ("rmsprop_centred_momentum", RMS | MU, OPTIM.RMSprop,
     {**TORCH_RMS, "momentum": 0.8, "centered": True}),
    ("adam", {"lr": 0.05, **BETAS}, OPTIM.Adam, ADAM),
    ("amsgrad", {"lr": 0.05, **BETAS}, OPTIM.Adam, {**ADAM, "amsgrad": True}),
    ("adamax", {"lr": 0.05, **BETAS}, OPTIM.Adamax, ADAM),
    ("nadam", {"lr": 0.05, "momentum_decay": 0.05, **BETAS}, OPTIM.NAdam,
     {**ADAM, "momentum_decay": 0.05}),
    ("radam", {"lr": 0.05, **BETAS}, OPTIM.RAdam, ADAM),
]  # fmt: skip


@pytest.mark.parametrize(("name", "hypers", "optimizer_class", "settings"), PAIRS)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_rules_with_and_without_coupled_decay(name, hypers, optimizer_class, settings, decay):
    step = modifiers.weight_decay(ORACLES[name, "torch"].step)
    hypers = {**hypers, "setting": decay}
    _assert_equal(step, hypers, optimizer_class, {**settings, "weight_decay": decay})


@pytest.mark.parametrize(("name", "hypers", "optimizer_class", "settings"), PAIRS)
def test_rules_maximising(name, hypers, optimizer_class, settings):
    step = modifiers.maximize(ORACLES[name, "torch"].step)
    _assert_equal(step, hypers, optimizer_class, {**settings, "maximize": True})


@pytest.mark.parametrize(
    ("name", "optimizer_class"), [("nadam", OPTIM.NAdam), ("radam", OPTIM.RAdam)]
)
def test_decoupled_decay_of_nadam_and_radam(name, optimizer_class):
    step = modifiers.decoupled_weight_decay(ORACLES[name, "torch"].step)
    settings = {**ADAM, "weight_decay": 0.3, "decoupled_weight_decay": True}
    _assert_equal(step, {"lr": 0.05, "setting": 0.3, **BETAS}, optimizer_class, settings)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adamw(amsgrad):
    if amsgrad:
        step = modifiers.decoupled_weight_decay(ORACLES["amsgrad", "torch"].step)
        hypers = {"lr": 0.05, "setting": 0.3, **BETAS}
    else:
        step, hypers = ORACLES["adamw", "torch"].step, {"lr": 0.05, "weight_decay": 0.3, **BETAS}
    _assert_equal(step, hypers, OPTIM.AdamW, {**ADAM, "weight_decay": 0.3, "amsgrad": amsgrad})


@pytest.mark.parametrize("maximize", [False, True])
def test_rprop(maximize):
    # ten elements of a hundred turn per step: steps reach both bounds
    step = ORACLES["rprop", "torch"].step
    step = modifiers.maximize(step) if maximize else step
    hypers = {"lr": 0.02, "eta_minus": 0.4, "eta_plus": 1.7, "step_min": 1e-3, "step_max": 0.05}
    theirs = {"lr": 0.02, "etas": (0.4, 1.7), "step_sizes": (1e-3, 0.05), "maximize": maximize}
    _assert_equal(step, hypers, OPTIM.Rprop, theirs)


def test_average_of_asgd():
    hypers = {"lr": 0.1, "lambd": 0.05, "alpha": 0.6, "t0": 20.0}
    state, optimizer = _assert_equal(ORACLES["asgd", "torch"].step, hypers, OPTIM.ASGD, hypers)
    for slot, theirs in zip(state["slots"], optimizer.state.values(), strict=True):
        np.testing.assert_allclose(slot["ax"], theirs["ax"].numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("d", [1.0, 1.5])
@pytest.mark.parametrize("eps1", [None, 0.03])
def test_adafactor(d, eps1):
    hypers = {"lr": 0.1, "beta2_decay": -0.6, "eps2": 0.05, "d": d, "weight_decay": 0.2}
    theirs = {"lr": 0.1, "beta2_decay": -0.6, "eps": (eps1, 0.05), "d": d, "weight_decay": 0.2}
    ours = hypers if eps1 is None else {**hypers, "eps1": eps1}
    _assert_equal(ORACLES["adafactor", "torch"].step, ours, OPTIM.Adafactor, theirs)


@pytest.mark.parametrize("adjust_lr_fn", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_without_the_cast_to_bfloat16(monkeypatch, adjust_lr_fn, nesterov):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    shared = {
        "lr": 0.05, "weight_decay": 0.3, "nesterov": nesterov, "ns_steps": 4,
        "ns_coefficients": (3.0, -3.2, 1.2), "eps": 2.0, "adjust_lr_fn": adjust_lr_fn,
    }  # fmt: skip
    step, shapes = ORACLES["muon", "torch"].step, [(5, 3), (2, 4), (3, 3)]
    ours, theirs = {**shared, "mu": 0.8}, {**shared, "momentum": 0.8}
    _assert_equal(step, ours, OPTIM.Muon, theirs, shapes)


def test_clipping_by_value_and_by_norm():
    rng = np.random.default_rng(3)
    gs = [rng.normal(size=s) * 3 for s in SHAPES]
    seen = {}
    for name, modifier in [
        ("value", modifiers.clip_value),
        ("norm", modifiers.clip_norm),
        ("global", modifiers.clip_global_norm),
    ]:
        take = modifier(lambda ws, gradient, state, t: gradient(ws))
        seen[name] = take(gs, lambda _: gs, {}, 1, setting=0.9)

    def tensors():
        made = [nn.Parameter(torch.zeros(s)) for s in SHAPES]
        for tensor, g in zip(made, gs, strict=True):
            tensor.grad = torch.from_numpy(g.copy())
        return made

    by_value, by_norm, together = tensors(), tensors(), tensors()
    nn.utils.clip_grad_value_(by_value, 0.9)
    for tensor in by_norm:
        nn.utils.clip_grad_norm_([tensor], 0.9)
    nn.utils.clip_grad_norm_(together, 0.9)
    for name, theirs in [("value", by_value), ("norm", by_norm), ("global", together)]:
        for g, tensor in zip(seen[name], theirs, strict=True):
            np.testing.assert_allclose(g, tensor.grad.numpy(), rtol=1e-14, err_msg=name)


def test_ema_of_weights():
    rng = np.random.default_rng(4)
    ws = [rng.normal(size=s) for s in SHAPES]
    tensors = nn.ParameterList(torch.from_numpy(w.copy()) for w in ws)
    averaged = OPTIM.swa_utils.AveragedModel(
        tensors, multi_avg_fn=OPTIM.swa_utils.get_ema_multi_avg_fn(0.7)
    )
    averaged.update_parameters(tensors)  # torch takes the first weights over as they are
    step, state = modifiers.ema(ORACLES["sgd", "torch"].step), {}
    for t, gs in enumerate(_gradients(SHAPES, 5), 1):
        ws = step(ws, lambda _, gs=gs: gs, state, t, lr=0.1, setting=0.7)
        for tensor, w in zip(tensors, ws, strict=True):
            tensor.data = torch.from_numpy(w.copy())
        averaged.update_parameters(tensors)
    for ours, theirs in zip(state["ema"], averaged.module, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12)


class Rosenbrock:
    """The chained Rosenbrock function, whose line searches bracket and zoom."""

    @staticmethod
    def loss(w):
        return (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()

    @classmethod
    def value(cls, w):
        return float(cls.loss(w))

    @classmethod
    def gradient(cls, w):
        x = torch.from_numpy(w.copy()).requires_grad_()
        return torch.autograd.grad(cls.loss(x), x)[0].numpy()


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
@pytest.mark.parametrize("start", [0.3, -1.2, 4.0])
@pytest.mark.parametrize(
    ("max_iter", "history_size", "max_eval"),
    [(1, 5, None), (4, 2, None), (20, 100, None), (4, 3, 1)],
)
def test_lbfgs(line_search, start, max_iter, history_size, max_eval):
    lr = 1.0 if line_search else 1e-2
    w = np.linspace(start, -start / 2, 6)
    x = nn.Parameter(torch.from_numpy(w.copy()))
    settings = {"lr": lr, "max_iter": max_iter, "history_size": history_size, "max_eval": max_eval}
    optimizer = OPTIM.LBFGS([x], line_search_fn=line_search, **settings)

    def closure():
        optimizer.zero_grad()
        loss = Rosenbrock.loss(x)
        loss.backward()
        return loss

    state: dict = {}
    for _ in range(8):
        optimizer.step(closure)
        w = CLOSURES["lbfgs", "torch"](w, Rosenbrock, state, line_search_fn=line_search, **settings)
        # Rounding grows with every line search: both sides solve the same cubics.
        np.testing.assert_allclose(w, x.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_trajectory_returns_every_iterate():
    path, _ = trajectory(ORACLES["sgd", "torch"].step, [np.ones(2)], lambda ws: ws, 3, lr=0.5)
    np.testing.assert_array_equal([ws[0][0] for ws in path], [0.5, 0.25, 0.125])
