"""A prepared launch never outlives what it was prepared for; torch's class is the oracle."""

import copy

import pytest
import torch

import ravine.optim as ours

torch.set_num_threads(1)


def pair(*shapes, **settings):
    """Return the same parameters under torch's Adam and ours, after two steps."""
    torch.manual_seed(0)
    weights = [torch.randn(shape) for shape in shapes]
    made = []
    for module in (torch.optim, ours):
        parameters = [torch.nn.Parameter(w.clone()) for w in weights]
        made.append((parameters, module.Adam(parameters, lr=0.1, **settings)))
    for _ in range(2):
        step(made)
    return made


def step(made):
    for parameters, optimizer in made:
        for p in parameters:
            p.grad = torch.cos(p.detach())
        optimizer.step()


def assert_equal(made):
    (expected, _), (found, _) = made
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("rows", [8, 2])
def test_data_of_another_size_is_updated_whole_or_refused(rows):
    made = pair((4, 3))
    parameters, optimizer = made[1]
    parameters[0].data = torch.zeros(rows, 3)
    parameters[0].grad = torch.ones(rows, 3)
    with pytest.raises(RuntimeError, match=r"must have the shape \(\d, 3\) of their parameter"):
        optimizer.step()
    assert torch.equal(parameters[0].detach(), torch.zeros(rows, 3))


def test_data_at_another_address_is_found():
    made = pair((4, 3), (5,))
    for parameters, _ in made:
        parameters[0].data = torch.full((4, 3), 2.0)
    step(made)
    assert_equal(made)


def test_a_parameter_that_changes_its_group_takes_the_new_rate():
    torch.manual_seed(0)
    made = []
    for module in (torch.optim, ours):
        a, b, c = (torch.nn.Parameter(torch.ones(3)) for _ in range(3))
        groups = [{"params": [a, b], "lr": 0.1}, {"params": [c], "lr": 0.01}]
        made.append(([a, b, c], module.Adam(groups)))
    step(made)
    step(made)
    for _, optimizer in made:
        first, second = optimizer.param_groups
        second["params"].insert(0, first["params"].pop())
    step(made)
    assert_equal(made)


def test_settings_of_a_loaded_checkpoint_are_used():
    made = pair((4, 3), (5,))
    for _, optimizer in made:
        saved = copy.deepcopy(optimizer.state_dict())
        saved["param_groups"][0]["lr"] = 0.5
        optimizer.load_state_dict(saved)
    step(made)
    step(made)
    assert_equal(made)


def test_states_that_a_program_replaces_are_used():
    made = pair((4, 3))
    for parameters, optimizer in made:
        optimizer.state[parameters[0]]["exp_avg"] = torch.ones(4, 3)
    step(made)
    assert_equal(made)


def test_fewer_gradients_and_then_all_again():
    made = pair((4, 3), (5,))
    for parameters, optimizer in made:
        parameters[0].grad, parameters[1].grad = None, torch.ones(5)
        optimizer.step()
    step(made)
    step(made)
    assert_equal(made)
