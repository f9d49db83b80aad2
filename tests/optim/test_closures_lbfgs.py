"""LBFGS equals torch's, with its line search and without."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from ravine.optim._closures_wolfe import C1, C2, Point, strong_wolfe
from ravine.optim._lbfgs import LBFGS
from tests.optim.matrix_peers import through_a_file

F64 = torch.float64


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def valley(size):
    point = nn.Parameter(torch.linspace(-1.2, 1.0, size, dtype=F64))
    return [point], lambda: rosenbrock(point)


def network(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(F64)
    x, y = torch.randn(20, 3, dtype=F64), torch.randn(20, 2, dtype=F64)
    return list(model.parameters()), lambda: (model(x) - y).square().mean()


PROBLEMS = {
    "rosenbrock2": lambda: valley(2),
    "rosenbrock10": lambda: valley(10),
    "network0": lambda: network(0),
    "network1": lambda: network(1),
}
SEARCHES = [
    {},
    {"max_iter": 5, "history_size": 3, "lr": 0.3},
    {"max_iter": 1, "max_eval": 3},
    {"max_iter": 4, "tolerance_grad": 1e-3, "tolerance_change": 1e-5, "history_size": 1},
]


def closure_of(optimizer, loss_of):
    def closure():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    return closure


def run(kind, problem, steps, **settings):
    parameters, loss_of = PROBLEMS[problem]()
    optimizer = kind(parameters, **settings)
    closure = closure_of(optimizer, loss_of)
    losses = [optimizer.step(closure).item() for _ in range(steps)]
    return torch.cat([p.detach().flatten() for p in parameters]), losses, optimizer


def assert_equal(ours, theirs):
    assert (ours[0] - theirs[0]).abs().max().item() <= 1e-10
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-10, atol=1e-14)
    mine, torchs = (o[2].state_dict()["state"][0] for o in (ours, theirs))
    assert set(mine) == set(torchs) - {"al"}  # room that torch computes in
    for counter in ("func_evals", "n_iter"):
        assert mine[counter] == torchs[counter]


@pytest.mark.parametrize("settings", SEARCHES)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_strong_wolfe_equals_torch(problem, settings):
    settings = settings | {"line_search_fn": "strong_wolfe"}
    assert_equal(
        run(LBFGS, problem, 30, **settings), run(torch.optim.LBFGS, problem, 30, **settings)
    )


@pytest.mark.parametrize("settings", [{}, {"max_iter": 4, "history_size": 2}])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_plain_steps_equal_torch(problem, settings):
    settings = settings | {"lr": 1e-4 if problem.startswith("rosenbrock") else 0.1}
    assert_equal(
        run(LBFGS, problem, 10, **settings), run(torch.optim.LBFGS, problem, 10, **settings)
    )


def test_a_first_trial_far_too_long_ends_in_torchs_minimum():
    """Brackets of three digits, interpolated often: rounding differs in the last bits only."""
    settings = {"lr": 300.0, "line_search_fn": "strong_wolfe"}
    assert_equal(
        run(LBFGS, "rosenbrock2", 20, **settings),
        run(torch.optim.LBFGS, "rosenbrock2", 20, **settings),
    )


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
@pytest.mark.parametrize("kinds", [(torch.optim.LBFGS, LBFGS), (LBFGS, torch.optim.LBFGS)])
def test_checkpoints_are_exchanged_with_torch(kinds, line_search):
    settings = {"max_iter": 4, "lr": 0.5, "line_search_fn": line_search}
    pairs = [PROBLEMS["network0"]() for _ in range(2)]
    first, second = (kind(p, **settings) for kind, (p, _) in zip(kinds, pairs, strict=True))
    closures = [
        closure_of(o, loss_of) for o, (_, loss_of) in zip((first, second), pairs, strict=True)
    ]
    for _ in range(4):
        first.step(closures[0])
    second.load_state_dict(through_a_file(first.state_dict()))
    with torch.no_grad():
        for a, b in zip(pairs[1][0], pairs[0][0], strict=True):
            a.copy_(b)
    for _ in range(4):
        first.step(closures[0])
        second.step(closures[1])
    for a, b in zip(pairs[1][0], pairs[0][0], strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_the_minimum_is_scipys():
    found, _, _ = run(LBFGS, "rosenbrock10", 30, line_search_fn="strong_wolfe")
    start = np.linspace(-1.2, 1.0, 10)
    options = {"gtol": 1e-12, "ftol": 1e-16}
    expected = scipy.optimize.minimize(
        scipy.optimize.rosen, start, jac=scipy.optimize.rosen_der, method="L-BFGS-B",
        options=options,
    ).x  # fmt: skip
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("first", [1e-4, 0.1, 1.0, 7.0, 1e3])
@pytest.mark.parametrize("seed", range(8))
def test_line_search_ends_where_both_conditions_hold(seed, first):
    """On polynomials with three valleys, from first trials too short and too long."""
    rng = np.random.default_rng(seed)
    slope = np.polynomial.Polynomial.fromroots(rng.uniform(0.5, 4, 5))
    line = slope.integ()

    def look(t):
        return Point(t, line(t), torch.tensor([slope(t)]), slope(t))

    found = strong_wolfe(look, look(0), first, 100, lambda width: width < 1e-12)
    assert found.loss <= line(0) + C1 * found.t * slope(0)
    assert abs(found.slope) <= -C2 * slope(0)


def test_a_trial_that_is_not_finite_halves_the_bracket():
    """The loss is a number only below 1.5, and the first trial goes beyond."""
    weight = nn.Parameter(torch.tensor([1.0], dtype=F64))
    optimizer = LBFGS([weight], lr=8.0, line_search_fn="strong_wolfe")
    closure = closure_of(optimizer, lambda: torch.sum(-weight - torch.log(1.5 - weight)))
    for _ in range(5):
        optimizer.step(closure)
    assert weight.item() == pytest.approx(0.5, abs=1e-7)  # where 1 / (1.5 - w) = 1


def test_frozen_unused_and_strided_parameters():
    used = nn.Parameter(torch.zeros(4, 6, dtype=F64)[:, ::2])
    frozen = nn.Parameter(torch.ones(2, dtype=F64), requires_grad=False)
    unused = nn.Parameter(torch.ones(2, dtype=F64))
    optimizer = LBFGS([used, frozen, unused], line_search_fn="strong_wolfe")
    target = torch.arange(12, dtype=F64).reshape(4, 3)
    for _ in range(3):
        optimizer.step(closure_of(optimizer, lambda: (used - target).square().sum()))
    assert torch.allclose(used, target, atol=1e-10)
    assert torch.equal(frozen, torch.ones(2, dtype=F64))
    assert torch.equal(unused, torch.ones(2, dtype=F64))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1"),
        ({"max_iter": 0}, "max_iter must be an integer >= 1, got 0"),
        ({"max_eval": 2.5}, "max_eval must be an integer >= 1, got 2.5"),
        ({"history_size": 0}, "history_size must be an integer >= 1, got 0"),
        ({"tolerance_grad": -1e-9}, "tolerance_grad must be >= 0"),
        ({"line_search_fn": "armijo"}, "line_search_fn must be one of None, 'strong_wolfe', got"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        LBFGS([nn.Parameter(torch.zeros(2))], **settings)
