"""torch's own table of optimizers, their configurations and their error inputs."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

import ravine.optim
from tests.optim.test_equals_torch import give_gradients, twins

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ImportWarning)  # of a library torch's tests would like
    from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

# What of the table is not run, each with its reason.
NO_CLASS = {"SparseAdam": "takes sparse gradients only, which no rule here does"}
NOT_EQUAL = {
    "LBFGS": "steps with a closure; compared in test_closures_lbfgs.py",
    "Muon": "torch rounds to bfloat16 inside; compared in test_muon.py",
    "Adafactor": "compared at torch's and other settings in test_adafactor.py",
}
AT_CONSTRUCTION = {  # where torch refuses at the first step
    ("Muon", "does not support complex parameters"),
    ("Adafactor", "does not support complex parameters"),
}

HAD = [info for info in optim_db if info.name not in NO_CLASS]
CONFIGURED = [
    pytest.param(info, given.kwargs, id=f"{info.name}-{given.desc}")
    for info in HAD
    if info.name not in NOT_EQUAL
    for given in info.optim_inputs_func("cpu")
]
REFUSED = [
    pytest.param(info, error, id=f"{info.name}-{error.optimizer_error_input.desc}")
    for info in HAD
    for error in info.optim_error_inputs_func("cpu", torch.float32)
]
SHAPES = [(4, 3), (5,), (2, 3, 2), ()]


def ours(info, parameters, kwargs):
    return getattr(ravine.optim, info.name)(parameters, **kwargs)


@pytest.fixture
def double_by_default():
    """Let torch keep its step counts and momentum products in double precision, too."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def assert_near(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        scale = max(1.0, b.detach().abs().max().item())
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * scale, check_dtype=False)


def assert_states_near(mine, theirs, tolerance):
    assert mine.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]
    for p, q in zip(mine.state, theirs.state, strict=True):
        found, expected = mine.state[p], theirs.state[q]
        assert found.keys() == expected.keys()
        assert_near([found[key] for key in expected], expected.values(), tolerance)


def test_every_class_of_the_table_is_here():
    assert {info.name for info in optim_db} == {info.name for info in HAD} | set(NO_CLASS)
    assert all(hasattr(ravine.optim, info.name) for info in HAD)


@pytest.mark.usefixtures("double_by_default")
@pytest.mark.parametrize(("info", "kwargs"), CONFIGURED)
def test_double_precision_equals_torch(info, kwargs):
    _steps_equal(info, kwargs, torch.float64, 1e-12)


@pytest.mark.parametrize(("info", "kwargs"), CONFIGURED)
def test_single_precision_equals_torch(info, kwargs):
    # 12 steps of a few roundings each; RMSprop and Adadelta divide by small roots.
    _steps_equal(info, kwargs, torch.float32, 2e-6)


def _steps_equal(info, kwargs, dtype, tolerance):
    rng = np.random.default_rng(0)
    a, b = twins(SHAPES, dtype)
    mine, theirs = ours(info, a, kwargs), info.optim_cls(b, **kwargs)
    for _ in range(12):
        give_gradients(a, b, rng)
        mine.step()
        theirs.step()
    assert_near(a, b, tolerance)
    assert_states_near(mine, theirs, tolerance)


@pytest.mark.usefixtures("double_by_default")
@pytest.mark.parametrize(("info", "kwargs"), CONFIGURED)
def test_checkpoints_go_both_ways(info, kwargs):
    rng = np.random.default_rng(1)
    a, b = twins(SHAPES)
    c, d = twins(SHAPES)
    first, second = ours(info, a, kwargs), info.optim_cls(b, **kwargs)
    for _ in range(4):
        give_gradients(a, b, rng)
        first.step()
        second.step()
    third, fourth = ours(info, c, kwargs), info.optim_cls(d, **kwargs)
    third.load_state_dict(deepcopy(second.state_dict()))
    fourth.load_state_dict(deepcopy(first.state_dict()))
    with torch.no_grad():
        for source, target in (*zip(b, c, strict=True), *zip(a, d, strict=True)):
            target.copy_(source)
    for _ in range(4):
        give_gradients(a, b, rng)
        give_gradients_of(a, c)
        give_gradients_of(a, d)
        for optimizer in (first, second, third, fourth):
            optimizer.step()
    for found in (a, c, d):
        assert_near(found, b, 1e-12)


def give_gradients_of(source, target):
    for p, q in zip(source, target, strict=True):
        q.grad = p.grad.clone()


@pytest.mark.parametrize(("info", "error"), REFUSED)
def test_bad_input_raises_as_in_torch(info, error):
    given = error.optimizer_error_input
    if (info.name, given.desc) in AT_CONSTRUCTION:
        with pytest.raises(ValueError, match="must be real, got a complex one"):
            ours(info, given.params, given.kwargs)
        return
    params = given.params
    if params is None:
        params = [nn.Parameter(torch.randn(2, 3))]
    assert error.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR
    expected = pytest.warns if issubclass(error.error_type, Warning) else pytest.raises
    with expected(error.error_type, match=error.error_regex):
        ours(info, params, given.kwargs)
