"""The protocol of all methods that run singly: ``step(closure)``."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

from ravine.optim._closures_methods import CLOSURE_METHODS
from ravine.rules import Range
from tests.optim.matrix_peers import through_a_file

ALL = pytest.mark.parametrize("name", CLOSURE_METHODS)
TAKE_A_LOSS = pytest.mark.parametrize(
    "name", sorted(set(CLOSURE_METHODS) - {"levenberg_marquardt"})
)
WITH_BACKWARD = ("gradient_descent_armijo", "lbfgs")


def made(name, parameters, **settings):
    return CLOSURE_METHODS[name].optimizer(parameters, **settings)


def weight_of(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def closure_of(name, optimizer, bias=0.0):
    """Rosenbrock's valley: residuals for least squares, otherwise half their squares' sum."""
    [weight] = optimizer.param_groups[0]["params"]

    def closure():
        residuals = torch.stack([10 * (weight[1] - weight[0] ** 2), 1 - weight[0]]) + bias
        if name == "levenberg_marquardt":
            return residuals
        loss = residuals.square().sum() / 2
        if name in WITH_BACKWARD:
            optimizer.zero_grad()
            loss.backward()
        return loss

    return closure


@ALL
def test_a_missing_closure_is_named(name):
    with pytest.raises(ValueError, match=r"closure must be given, got None: .* several times"):
        made(name, [weight_of(1.0)]).step()


@TAKE_A_LOSS
def test_losses_that_are_no_number_are_named(name):
    weight = weight_of(1.0, 2.0)
    optimizer = made(name, [weight])
    with pytest.raises(RuntimeError, match=r"must return one number, got shape \(2,\)"):
        optimizer.step(lambda: weight * 2)
    with pytest.raises(RuntimeError, match="closure must return the loss, got NoneType"):
        optimizer.step(lambda: None)
    with pytest.raises(RuntimeError, match="must be finite where a step begins, got nan"):
        optimizer.step(lambda: torch.sum(weight * float("nan")))
    assert weight.tolist() == [1.0, 2.0]


@ALL
def test_the_loss_of_the_beginning_is_returned_and_it_falls(name):
    optimizer = made(name, [weight_of(-1.2, 1.0)])
    losses = [optimizer.step(closure_of(name, optimizer)).item() for _ in range(5)]
    assert losses[0] == pytest.approx((10 * (1 - 1.44)) ** 2 / 2 + 2.2**2 / 2, rel=1e-14)
    if name != "lbfgs":  # whose plain steps promise no decrease
        assert losses == sorted(losses, reverse=True)


@ALL
def test_one_group_only(name):
    optimizer = made(name, [weight_of(1.0)])
    with pytest.raises(ValueError, match="must have 1 parameter group, got a second one"):
        optimizer.add_param_group({"params": [weight_of(1.0)]})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="must have a parameter, got an empty group"):
        made(name, [{"params": []}])


@ALL
def test_unknown_settings_complex_and_wrapped_parameters_are_refused(name):
    with pytest.raises(ValueError, match="unknown setting of a parameter group 'betas'"):
        made(name, [{"params": [weight_of(1.0)], "betas": 1}])
    with pytest.raises(ValueError, match="parameters must be real, got a complex one"):
        made(name, [nn.Parameter(torch.zeros(2, dtype=torch.complex128))])


def reloaded(optimizer):
    [weight] = optimizer.param_groups[0]["params"]
    fresh = type(optimizer)([nn.Parameter(weight.detach().clone())])
    fresh.load_state_dict(through_a_file(optimizer.state_dict()))
    return fresh


@pytest.mark.parametrize(
    "copier", [reloaded, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
@ALL
def test_resumed_equals_uninterrupted_bit_for_bit(name, copier):
    settings = {"lr": 1e-3} if name == "lbfgs" else {}
    ends = []
    for resumed in (False, True):
        optimizer = made(name, [weight_of(-1.2, 1.0)], **settings)
        for step in range(9):
            if resumed and step == 4:
                optimizer = copier(optimizer)
            optimizer.step(closure_of(name, optimizer, bias=0.1 * step))
        ends.append(optimizer.param_groups[0]["params"][0].detach())
    assert torch.equal(*ends)


@ALL
def test_names_in_another_order_are_refused(name):
    first, second = (made(name, [(n, weight_of(1.0)) for n in order]) for order in ("ab", "ba"))
    with pytest.raises(ValueError, match=r"in the same order, .*'b', 'a'.* got .*'a', 'b'"):
        second.load_state_dict(first.state_dict())


@ALL
def test_the_table_is_complete(name):
    method = CLOSURE_METHODS[name]
    assert method.formula
    assert "19" in method.paper
    assert method.reason
    settings = inspect.signature(method.optimizer).parameters
    for setting, notation in method.space.items():
        assert setting in settings
        found = Range.parse(notation)
        assert found.low <= method.defaults[setting] <= found.high
