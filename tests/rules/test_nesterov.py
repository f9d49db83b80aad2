"""Nesterov's two views: the stored look-ahead point, and the weights that belong to it."""

import numpy as np
import torch

from ravine.optim import SGD, from_rule
from ravine.rules import get_rule, initial_state, reference_readout, reference_step

CURVATURE = torch.tensor([1.0, 7.0, 0.3], dtype=torch.float64)
START = torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)


def gradient(w):
    return CURVATURE * w + torch.sin(w)


def literal(rates, gamma):
    """Yield the weights of the course's two-step form."""
    w, v = START.numpy().copy(), np.zeros(3)
    for eta in rates:
        w_temp = w - gamma * v
        g = gradient(torch.from_numpy(w_temp)).numpy()
        w = w_temp - eta * g
        v = gamma * v + eta * g
        yield w, v


def test_readout_equals_the_literal_two_step_form_while_the_rate_changes():
    rates = [0.05 * 0.98**k for k in range(100)]
    rule = get_rule("nesterov", "lecture")
    point, state = START.clone(), initial_state(rule, START, rule.hypers)
    weight = torch.nn.Parameter(START.clone())
    optimizer = from_rule(rule)([weight], gamma=0.8)
    for t, (eta, (w, _)) in enumerate(zip(rates, literal(rates, 0.8), strict=True), start=1):
        hypers = {"lr": eta, "gamma": 0.8}
        [point], [state] = reference_step(rule, [point], [gradient(point)], [state], t, hypers)
        read = reference_readout(rule, point, state, t, hypers)
        np.testing.assert_allclose(read.numpy(), w, rtol=1e-12, atol=1e-12)

        weight.grad = gradient(weight.detach())
        optimizer.param_groups[0]["lr"] = eta
        optimizer.step()
        stored = weight.detach().clone()
        with optimizer.readout():
            np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-12, atol=1e-12)
        assert torch.equal(weight, stored)


def test_torchs_parameter_is_the_look_ahead_point_at_a_constant_rate():
    theirs = torch.nn.Parameter(START.clone())
    ours = torch.nn.Parameter(START.clone())
    pairs = [
        (theirs, torch.optim.SGD([theirs], lr=0.05, momentum=0.9, nesterov=True)),
        (ours, SGD([ours], lr=0.05, momentum=0.9, nesterov=True)),
    ]
    for w, v in literal([0.05] * 100, 0.9):
        for weight, optimizer in pairs:
            weight.grad = gradient(weight.detach())
            optimizer.step()
            expected = w - 0.9 * v
            np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_textbook_momentum_is_the_lectures_with_the_velocity_turned_round():
    pairs = {"lecture": {"gamma": 0.7}, "textbook": {"alpha": 0.7}}
    ends = {}
    for convention, own in pairs.items():
        rule = get_rule("momentum", convention)
        sign = 1 if convention == "lecture" else -1
        w, state = START, initial_state(rule, START, rule.hypers | {"initial_velocity": sign * 0.2})
        for t in range(1, 101):
            hypers = {"lr": 0.1 / t, "initial_velocity": sign * 0.2, **own}
            [w], [state] = reference_step(rule, [w], [gradient(w)], [state], t, hypers)
        ends[convention] = w, sign * state["v"]
    for a, b in zip(*ends.values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
