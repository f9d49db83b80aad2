"""What lies in a checkpoint's states must be of a kind that steps can go on from."""

import copy

import pytest
import torch
from torch import nn

import ravine.optim
from ravine.optim import Adam
from tests.optim.test_checkpoints_checked import MATRIX, assert_refused, tensors, trained


@pytest.mark.parametrize("steps", [-1, -0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["Adam", "Adafactor", "SOAP", "Shampoo", "MuonWithAdamW"])
def test_a_number_of_steps_that_is_none_is_refused(name, steps):
    optimizer = trained(name)
    number = 1 if name == "MuonWithAdamW" else 0
    for kind in (torch.tensor, lambda value: value):
        saved = trained(name, seed=3).state_dict()
        saved["state"][number]["step"] = kind(steps)
        message = f"^step in .* of parameter {number} must be a number of steps made, >= 0, got"
        assert_refused(optimizer, saved, message)


@pytest.mark.parametrize("name", ["Adam", "Adafactor", "SOAP", "Shampoo"])
def test_a_number_of_steps_of_another_kind_is_refused(name):
    optimizer = trained(name)
    for steps, message in (
        (torch.tensor(True), "dense tensor of real numbers, got one of torch.bool"),
        (torch.tensor(1j), "dense tensor of real numbers, got one of torch.complex64"),
        (torch.ones(2), r"have the shape \(\), got \(2,\)"),
        (True, r"have the shape \(\), got bool"),
    ):
        saved = trained(name, seed=3).state_dict()
        saved["state"][0]["step"] = steps
        assert_refused(optimizer, saved, f"^step in .* of parameter 0 must (be a )?{message}")


@pytest.mark.parametrize("name", [*MATRIX, "Adam", "LBFGS"])
def test_sparse_and_complex_states_are_refused(name):
    optimizer = trained(name)
    for place in tensors(optimizer.state_dict()["state"][0]):
        for kind, got in ((torch.Tensor.to_sparse, "sparse_coo"), (lambda t: t * 1j, "complex")):
            saved = copy.deepcopy(trained(name, seed=3).state_dict())
            *way, last = 0, *place
            within = saved["state"]
            for key in way:
                within = within[key]
            within[last] = kind(within[last])
            assert_refused(optimizer, saved, f"{place[0]}.* must be a dense tensor .*{got}")


@pytest.mark.parametrize(("part", "other"), [("codes", "exponents"), ("exponents", "codes")])
@pytest.mark.parametrize("state_dtype", ["int8", None])
def test_a_state_in_int8_has_both_parts_or_neither(part, other, state_dtype):
    def stepped(**settings):
        weight = nn.Parameter(torch.ones(300))
        weight.grad = torch.ones(300)
        optimizer = Adam([weight], lr=0.5, **settings)
        optimizer.step()
        return optimizer, weight

    optimizer, weight = stepped(state_dtype=state_dtype)
    saved = stepped(state_dtype="int8")[0].state_dict()
    del saved["state"][0][f"exp_avg_{other}"]
    message = f"exp_avg_{other} must be in .* of parameter 0, which has exp_avg_{part}"
    assert_refused(optimizer, saved, message)
    del saved["state"][0][f"exp_avg_{part}"]
    optimizer.load_state_dict(saved)
    optimizer.step()  # the mean begins anew: a tenth of 1, corrected for two steps
    moved = 0.5 * 0.1 / (1 - 0.9**2)
    assert weight.tolist() == pytest.approx([0.5 - moved] * 300, rel=1e-2)


@pytest.mark.parametrize("name", ["Adam", "Adafactor"])
def test_a_state_of_a_weight_without_dimensions_is_a_tensor(name):
    weight = nn.Parameter(torch.tensor(1.0))
    weight.grad = torch.tensor(1.0)
    optimizer = getattr(ravine.optim, name)([weight])
    optimizer.step()
    key = {"Adam": "exp_avg", "Adafactor": "variance"}[name]
    saved = optimizer.state_dict()
    saved["state"][0] |= {key: 1.0}
    assert_refused(optimizer, saved, rf"{key} in .* must have the shape \(\).*, got float")
