"""Oracles of rules that torch does not have, against what their papers say must happen.

The packages of the authors (schedulefree, dadaptation, prodigyopt) and optax, pytorch-optimizer
and torch-optimi were run against these oracles when they were written; `ravine verify` does so
again where they are installed. Here are the facts that need no other library.
"""

import numpy as np
import pytest
import torch

from tests.reference import modifiers
from tests.reference.oracles import ORACLES
from tests.reference.stepping import trajectory

W = [np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.3, -0.7, 2.0])]
RNG = np.random.default_rng(0)
GRADS = [[RNG.normal(size=w.shape) for w in W] for _ in range(30)]


def _run(name, grads=GRADS, convention="paper", ws=W, **hypers):
    state, path, ws = {}, [], [w.copy() for w in ws]
    for t, gs in enumerate(grads, 1):
        ws = ORACLES[name, convention].step(ws, lambda _, gs=gs: gs, state, t, **hypers)
        path.append(ws)
    return path, state


def _assert_same(ours, theirs, rtol=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("name", ["signsgd", "lion"])
def test_sign_rules_move_every_weight_by_the_rate(name):
    path, _ = _run(name, lr=0.1)
    for old, new in zip([W, *path[:-1]], path, strict=True):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_allclose(np.abs(a - b), 0.1, rtol=1e-12)


def test_lion_remembers_with_beta2_and_steps_with_beta1():
    grads = [[np.array([3.0])], [np.array([-2.0])]]
    # m = 0.3 after one step: 0.5 m - 0.5 * 2 < 0, but 0.9 m - 0.1 * 2 > 0
    for beta1, end in [(0.5, 0.0), (0.9, -0.2)]:
        path, _ = _run("lion", grads, ws=[np.zeros(1)], lr=0.1, beta1=beta1, beta2=0.9)
        np.testing.assert_allclose(path[-1][0], end, atol=1e-15)


def test_rprop_takes_a_move_back_when_the_gradient_turns():
    grads = [[np.array([1.0])], [np.array([2.0])], [np.array([-1.0])], [np.array([-1.0])]]
    path, _ = _run("rprop", grads, ws=[np.zeros(1)], lr=0.1)
    # steps 0.1 and 0.12 down, 0.12 taken back, then 0.06 up
    np.testing.assert_allclose([p[0][0] for p in path], [-0.1, -0.22, -0.1, -0.04], rtol=1e-12)


def test_adan_of_a_constant_gradient_is_adam():
    grads = [GRADS[0]] * 20
    adan, _ = _run("adan", grads, lr=0.1, beta1=0.8, beta2=0.7, beta3=0.9, eps=1e-3)
    adam, _ = _run("adam", grads, "torch", lr=0.1, beta1=0.8, beta2=0.9, eps=1e-3)
    _assert_same(adan, adam)


def test_adan_adds_beta2_times_the_difference():
    grads = [[np.array([1.0])], [np.array([3.0])]]
    path, _ = _run(
        "adan", grads, ws=[np.zeros(1)], lr=1.0, beta1=0.0, beta2=0.5, beta3=0.0, eps=0.0
    )
    # m_hat = 3, v_hat = (0.5 * 2) / (1 - 0.25), n_hat = (3 + 0.5 * 2)^2
    np.testing.assert_allclose(path[1][0], -1 - (3 + 0.5 / 0.75) / 4, rtol=1e-12)


def test_adopt_starts_with_the_first_gradient_and_clips_the_second_at_one():
    grads = [[np.array([2.0, 2.0])], [np.array([-1.0, 9.0])], [np.array([0.0, 90.0])]]
    settings = {"lr": 1.0, "beta1": 0.0, "beta2": 1.0}
    path, _ = _run("adopt", grads, ws=[np.zeros(2)], **settings)
    np.testing.assert_allclose(path[0][0], 0.0)
    np.testing.assert_allclose(path[1][0], [0.5, -1.0])
    np.testing.assert_allclose(path[2][0], [0.5, -1.0 - 2**0.25])


def test_ademamix_without_its_slow_average_is_adam():
    settings = {"lr": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3}
    mixed, _ = _run("ademamix", alpha=0.0, beta3=0.99, warmup=7, **settings)
    _assert_same(mixed, _run("adam", convention="torch", **settings)[0])


def test_half_life_of_ademamix_rises_linearly():
    def slow_after_one_step(warmup):
        _, state = _run("ademamix", [[np.ones(1)]] * 1, ws=[np.zeros(1)], lr=1.0, beta1=0.8,
                        beta3=0.9999, warmup=warmup)  # fmt: skip
        return 1 - state["slots"][0]["m2"].item()  # beta3 of step 1

    life = np.log(0.5) / np.log([slow_after_one_step(w) for w in (1, 2, 4)])
    start, end = np.log(0.5) / np.log([0.8, 0.9999])
    np.testing.assert_allclose(life, [end, (start + end) / 2, 0.75 * start + 0.25 * end], rtol=1e-7)


def test_adabelief_of_gradients_that_agree_with_their_mean_has_no_belief_but_eps():
    _, state = _run("adabelief", [GRADS[0]] * 3, lr=0.1, beta1=0.0, beta2=0.9, eps=1e-4)
    for slot in state["slots"]:
        np.testing.assert_allclose(slot["s"], 1e-4 * (1 + 0.9 + 0.81), rtol=1e-12)


def test_yogi_changes_its_second_moment_by_the_new_square_only():
    _, state = _run("yogi", GRADS[:1], lr=0.1, beta2=0.9, initial_accumulator_value=100.0)
    for slot, g in zip(state["slots"], GRADS[0], strict=True):
        np.testing.assert_allclose(slot["v"], 100 - 0.1 * g**2, rtol=1e-14)


def test_layerwise_steps_have_the_length_their_papers_give():
    for w, lamb, lars, nova, g in zip(
        W,
        _run("lamb", GRADS[:1], lr=0.1, weight_decay=0.3)[0][0],
        _run("lars", GRADS[:1], lr=2.0, trust_coefficient=0.1)[0][0],
        _run("novograd", GRADS[:1], lr=0.1, eps=0.0)[0][0],
        GRADS[0],
        strict=True,
    ):
        size = np.linalg.norm(w)
        np.testing.assert_allclose(np.linalg.norm(lamb - w), 0.1 * size, rtol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(lars - w), 2.0 * 0.1 * size, rtol=1e-12)
        np.testing.assert_allclose(nova, w - 0.1 * g / np.linalg.norm(g), rtol=1e-12)


def test_schedule_free_sgd_without_momentum_evaluates_the_mean_of_its_iterates():
    free, state = _run("schedule_free_sgd", lr=0.1, beta=0.0, weight_lr_power=0.0)
    plain, _ = _run("sgd", convention="torch", lr=0.1)
    _assert_same(free, plain)
    for k, slot in enumerate(state["slots"]):
        np.testing.assert_allclose(slot["x"], np.mean([p[k] for p in plain], axis=0), rtol=1e-12)


def test_first_steps_of_the_rate_free_rules():
    g, d0 = GRADS[0], 1e-3
    length = np.sqrt(sum((x**2).sum() for x in g))
    settings = {"beta1": 0.8, "beta2": 0.9, "eps": 0.0, "d0": d0}
    (sgd,), _ = _run("dadapt_sgd", [g], lr=2.0, mu=0.6, d0=d0)
    (adam,), _ = _run("dadapt_adam", [g], lr=2.0, **{**settings, "eps": 1e-300})
    (prodigy,), _ = _run("prodigy", [g], lr=2.0, **settings)
    for k, w in enumerate(W):
        np.testing.assert_allclose(sgd[k], w - 0.4 * 2 * d0 * g[k] / length, rtol=1e-12)
        sign = 0.2 / np.sqrt(0.1) * np.sign(g[k])
        np.testing.assert_allclose(adam[k], w - 2 * d0 * sign, rtol=1e-12)
        np.testing.assert_allclose(prodigy[k], w - 2 * d0 * sign, rtol=1e-12)


@pytest.mark.parametrize("name", ["dadapt_sgd", "dadapt_adam", "prodigy"])
def test_estimate_of_the_distance_grows_at_most_by_its_rate_to_about_the_distance(name):
    def slope(ws):
        return [np.sign(w) for w in ws]  # |w|_1, whose solution is at 0: the theory's case

    start, step = [np.full(3, 4.0)], ORACLES[name, "paper"].step
    estimates = [trajectory(step, start, slope, n, d0=1e-3, growth_rate=1.5)[1]["d"]
                 for n in range(1, 60)]  # fmt: skip
    assert (np.diff(estimates) >= 0).all()
    # Prodigy's authors leave the growth away from d0 itself unbounded
    bounded = np.array(estimates[:-1]) > (1e-3 if name == "prodigy" else 0)
    assert (np.divide(estimates[1:], estimates[:-1])[bounded] <= 1.5 + 1e-12).all()
    assert bounded.sum() > 50
    # D-Adaptation measures in the Euclidean norm, the others in the largest coordinate
    distance = 4 * np.sqrt(3) if name == "dadapt_sgd" else 4.0
    assert 0.2 * distance < estimates[-1] <= distance


def test_sam_is_two_gradients_around_a_step_of_torch():
    curvature = [np.array([[1.0, 5.0], [0.3, 2.0]]), np.array([4.0, 0.1, 1.0])]

    def gradient(ws):
        return [c * w + np.cos(w) for c, w in zip(curvature, ws, strict=True)]

    tensors = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in W]
    optimizer = torch.optim.SGD(tensors, lr=0.05, momentum=0.8)
    path, _ = trajectory(ORACLES["sam", "paper"].step, W, gradient, 30, lr=0.05, mu=0.8, rho=0.3)
    for ws in path:
        at = [p.detach().numpy().copy() for p in tensors]
        gs = gradient(at)
        length = np.sqrt(sum((g**2).sum() for g in gs)) + 1e-12
        worst = gradient([w + 0.3 * g / length for w, g in zip(at, gs, strict=True)])
        for p, g in zip(tensors, worst, strict=True):
            p.grad = torch.from_numpy(g)
        optimizer.step()
        _assert_same([ws], [[p.detach().numpy() for p in tensors]])


def test_lookahead_goes_all_the_way_or_none():
    adam, _ = _run("adam", convention="torch", lr=0.1)
    ahead, _ = _run("lookahead", lr=0.1, sync=5, alpha=1.0)
    _assert_same(ahead, adam)
    back, state = _run("lookahead", lr=0.1, sync=5, alpha=0.0)
    _assert_same([back[4], back[29], state["slow"]], [W, W, W])
    assert (back[5][0] != W[0]).all()


def test_cautious_keeps_what_goes_down_and_scales_it():
    u = np.array([1.0, 2.0, -3.0, 4.0])
    step = modifiers.cautious(lambda ws, gradient, state, t: [w - u for w in ws])
    (new,) = step([np.zeros(4)], lambda _: [np.array([1.0, -1.0, -1.0, 0.0])], {}, 1)
    np.testing.assert_allclose(new, [-2.0, 0.0, 6.0, 0.0])
    (new,) = step([np.zeros(4)], lambda _: [-u], {}, 1)
    np.testing.assert_allclose(new, 0.0)


def test_centralising_takes_the_mean_of_every_row_of_a_matrix_and_leaves_vectors():
    take = modifiers.centralise(lambda ws, gradient, state, t: gradient(ws))
    gs = [np.array([[1.0, 3.0], [0.0, 8.0]]), np.array([1.0, 2.0]), np.ones((2, 3, 4)) * 5]
    rows, vector, constant = take(gs, lambda _: gs, {}, 1)
    np.testing.assert_array_equal(rows, [[-1.0, 1.0], [-4.0, 4.0]])
    np.testing.assert_array_equal(vector, gs[1])
    np.testing.assert_array_equal(constant, 0.0)


def test_fully_decoupled_decay_knows_no_rate():
    step = modifiers.fully_decoupled_weight_decay(ORACLES["sgd", "torch"].step)
    ws = step(W, lambda ws: [w * 0 + 1 for w in ws], {}, 1, lr=0.1, setting=0.2)
    _assert_same([ws], [[0.8 * w - 0.1 for w in W]])
