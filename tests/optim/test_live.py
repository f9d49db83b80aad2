"""What may change between two steps behind an optimizer's back; torch's class is the oracle."""

import pytest
import torch
from torch import nn

import ravine.optim
from ravine.core.errors import SettingError
from ravine.optim._live import readable
from tests.optim.test_launch import assert_equal, pair, step

SQUARE, VECTOR, SINGLE = (4, 4), (5,), (1,)


def both(made, change):
    for parameters, optimizer in made:
        change(parameters, optimizer)


def transposed(parameters, _):
    parameters[0].data = parameters[0].data.t()


def reshaped(parameters, optimizer):
    """The memory stays, the layout does not; states follow."""
    state = optimizer.state[parameters[0]]
    for tensor in (parameters[0], state["exp_avg"], state["exp_avg_sq"]):
        tensor.data = tensor.data.view(2, 8)


def moved(parameters, _):
    parameters[0].data = parameters[0].data.clone()


def shared(parameters, optimizer):
    parameters[1].share_memory_()
    optimizer.state[parameters[0]]["exp_avg"].share_memory_()


def states_data_replaced(parameters, optimizer):
    average = optimizer.state[parameters[0]]["exp_avg"]
    average.data = torch.full_like(average, 0.5)


def states_replaced(parameters, optimizer):
    old = optimizer.state[parameters[0]]
    optimizer.state[parameters[0]] = {key: value + 1 for key, value in old.items()}


def all_states_forgotten(_, optimizer):
    optimizer.state.clear()


def one_state_forgotten(parameters, optimizer):
    del optimizer.state[parameters[1]]


def a_step_changed(parameters, optimizer):
    optimizer.state[parameters[1]]["step"].fill_(7.0)


def a_step_elsewhere(parameters, optimizer):
    step = optimizer.state[parameters[0]]["step"]
    step.data = torch.tensor(100.0)
    optimizer.state[parameters[1]]["step"].share_memory_()


def a_step_of_whole_numbers(parameters, optimizer):
    optimizer.state[parameters[1]]["step"] = torch.tensor(3)


def state_transposed(parameters, optimizer):
    optimizer.state[parameters[0]]["exp_avg"].t_()


def swapped(parameters, optimizer):
    """As `Module.to` does where `set_swap_module_params_on_conversion` is on."""
    other = nn.Parameter(torch.full_like(parameters[0], 0.5))
    torch.utils.swap_tensors(parameters[0], other)
    optimizer.kept_by_the_test = other


def steps_replaced(parameters, optimizer):
    for p in parameters:
        optimizer.state[p]["step"] = torch.tensor(20.0)


def parameter_replaced(parameters, optimizer):
    fresh = nn.Parameter(parameters[0].detach() * 2)
    parameters[0] = optimizer.param_groups[0]["params"][0] = fresh


def list_replaced(_, optimizer):
    optimizer.param_groups[0]["params"] = list(optimizer.param_groups[0]["params"])


def list_grown(parameters, optimizer):
    parameters.append(nn.Parameter(torch.ones(3)))
    optimizer.param_groups[0]["params"].append(parameters[-1])


def list_shortened(_, optimizer):
    optimizer.param_groups[0]["params"].pop()


def group_added(parameters, optimizer):
    parameters.append(nn.Parameter(torch.ones(3)))
    optimizer.add_param_group({"params": [parameters[-1]], "lr": 0.01})


def betas_replaced(_, optimizer):
    optimizer.param_groups[0]["betas"] = (0.5, 0.8)


def betas_edited_in_place(_, optimizer):
    betas = optimizer.param_groups[0]["betas"] = [0.9, 0.999]
    optimizer.register_step_post_hook(lambda *_: betas.__setitem__(0, betas[0] / 2))


def decay_set_in_place(_, optimizer):
    decay = optimizer.param_groups[0]["weight_decay"] = torch.tensor(0.0)
    optimizer.register_step_post_hook(lambda *_: decay.add_(0.1))


def rate_in_a_tensor(_, optimizer):
    rate = optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    optimizer.register_step_post_hook(lambda *_: rate.mul_(0.5))


def group_replaced(_, optimizer):
    optimizer.param_groups[0] = {**optimizer.param_groups[0], "lr": 0.02, "eps": 1e-3}


def group_became_another(_, optimizer):
    optimizer.param_groups[0].update(weight_decay=0.1, amsgrad=True, maximize=True)
    for state in optimizer.state.values():
        state["max_exp_avg_sq"] = torch.zeros_like(state["exp_avg_sq"])


CHANGES = [
    *(transposed, reshaped, moved, shared, states_data_replaced, states_replaced),
    *(all_states_forgotten, one_state_forgotten, a_step_changed, steps_replaced),
    *(a_step_elsewhere, a_step_of_whole_numbers, state_transposed, swapped),
    *(parameter_replaced, list_replaced, list_grown, list_shortened, group_added),
    *(betas_replaced, betas_edited_in_place, decay_set_in_place, rate_in_a_tensor),
    *(group_replaced, group_became_another),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_between_steps_is_seen(change):
    made = pair(SQUARE, VECTOR, SINGLE)
    both(made, change)
    for _ in range(3):
        step(made)
        assert_equal(made)


def test_it_is_a_prepared_launch_that_sees_them():
    assert readable([torch.zeros(2)])
    made = pair(SQUARE)
    [prepared] = made[1][1]._launches.values()
    step(made)
    assert list(made[1][1]._launches.values()) == [prepared]
    both(made, moved)
    step(made)
    assert list(made[1][1]._launches.values()) != [prepared]


class Marked(torch.Tensor):
    """A class of one's own without behaviour of its own."""


class Doubled(nn.Parameter):
    """Answers for its gradient itself."""

    @property
    def grad(self):
        found = torch.Tensor.grad.__get__(self)
        return None if found is None else 2 * found

    @grad.setter
    def grad(self, value):
        torch.Tensor.grad.__set__(self, value)


def test_a_class_that_answers_for_its_gradients_is_asked():
    assert not readable([Doubled(torch.ones(3))])
    parameter = Doubled(torch.ones(3))
    parameter.grad = torch.ones(3)
    optimizer = ravine.optim.SGD([parameter], lr=0.25)
    for _ in range(3):
        optimizer.step()
    assert parameter.tolist() == [1 - 3 * 0.25 * 2] * 3


def test_so_is_one_that_had_no_gradient_when_the_launch_was_made():
    class Elsewhere(nn.Parameter):
        grad = property(
            lambda self: self.__dict__.get("mine"), lambda self, g: self.__dict__.update(mine=g)
        )

    plain, odd = nn.Parameter(torch.ones(3)), Elsewhere(torch.ones(3))
    for options in ({}, {"state_dtype": "bfloat16"}):
        optimizer = ravine.optim.SGD([plain, odd], lr=0.25, momentum=0.0, **options)
        plain.grad, odd.grad = torch.ones(3), None
        for _ in range(3):
            optimizer.step()
        before = odd.detach().clone()
        odd.grad = torch.ones(3)
        optimizer.step()
        assert odd.tolist() == (before - 0.25).tolist()


def test_keys_of_states_may_go_and_come_back():
    made = pair(SQUARE, VECTOR)
    for _, optimizer in made:
        saved = optimizer.state_dict()
        for key, state in saved["state"].items():  # keys as a checkpoint from a file has them
            saved["state"][key] = {"".join(list(name)): one for name, one in state.items()}
        optimizer.load_state_dict(saved)
    step(made)
    [prepared] = made[1][1]._launches.values()
    # A dictionary alone may hold its keys: what is looked up by address must be held elsewhere.
    loaded = [name for state in made[1][1].state.values() for name in state]
    assert not {id(name) for name in loaded} & set(prepared._live._alive[0]["keys"].tolist())
    for _, optimizer in made:
        for state in optimizer.state.values():
            held = [("".join(list(name)), state.pop(name)) for name in list(state)]
            state.update(held)
    step(made)
    step(made)
    assert_equal(made)


GRADIENTS = {
    "of another class": lambda w: torch.cos(w.detach()).as_subclass(Marked),
    "transposed": lambda w: torch.cos(w.detach()).t().contiguous().t(),
    "strided": lambda w: torch.stack([torch.cos(w.detach())] * 2, -1)[..., 0],
    "expanded": lambda w: torch.ones(()).expand_as(w),
    "negated": lambda w: torch._neg_view(torch.cos(w.detach())),
    "imaginary": lambda w: torch.complex(w.detach(), torch.cos(w.detach())).conj().imag,
    "offset": lambda w: torch.cat([torch.zeros(3), torch.cos(w.detach()).flatten()])[3:].view_as(w),
    "needs a gradient": torch.cos,
}


@pytest.mark.parametrize("kind", GRADIENTS)
def test_gradients_of_any_layout_are_read_right(kind):
    made = pair(SQUARE, VECTOR, SINGLE, ())
    for _ in range(3):
        for parameters, optimizer in made:
            for p in parameters:
                p.grad = GRADIENTS[kind](p)
            optimizer.step()
        assert_equal(made)
    assert made[1][1]._launches


def test_persistent_gradients_are_read_anew():
    made = pair(SQUARE, VECTOR)
    for _ in range(3):
        for parameters, optimizer in made:
            for p in parameters:
                p.grad.mul_(-0.5).add_(0.1)
            optimizer.step()
        assert_equal(made)


IN_PLACE = {
    "transposed": lambda g: g.t_(),
    "reshaped and back": lambda g: g.resize_(2, 8).resize_(4, 4),
    "other data": lambda g: g.set_(torch.cos(g).t()),
    "other data, transposed": lambda g: setattr(g, "data", torch.sin(g).t().contiguous().t()),
    "shared": lambda g: g.share_memory_(),
}


@pytest.mark.parametrize("change", IN_PLACE)
def test_a_gradient_that_stays_is_changed_in_place(change):
    made = pair(SQUARE)
    for k in range(4):
        for [parameter], optimizer in made:
            if k == 0:
                parameter.grad = torch.cos(parameter.detach())
            elif k == 2:
                IN_PLACE[change](parameter.grad)
            optimizer.step()
        assert_equal(made)


def test_memory_that_changes_its_dtype_is_seen():
    """A gradient's address and its memory may be those of the last one, and its dtype another."""
    flat = torch.ones(8, dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(8))
    optimizer = ravine.optim.SGD([weight], lr=1.0)
    weight.grad = flat.view(torch.float32)[:8]
    weight.grad.fill_(1.0)
    for _ in range(3):
        optimizer.step()
    weight.grad.data = flat
    flat.fill_(1.0)
    optimizer.step()
    assert weight.tolist() == [-4.0] * 8
    flat.view(torch.float32).fill_(0.0)
    weight.data = flat.view(torch.float32)[:8]
    weight.grad = torch.ones(8)
    optimizer.step()
    optimizer.step()
    weight.data = flat
    flat.fill_(5.0)
    weight.grad = torch.ones(8, dtype=torch.float64)
    optimizer.step()
    assert weight.tolist() == [4.0] * 8


def test_six_dimensions_take_the_long_way():
    made = pair((1, 2, 1, 2, 1, 2))
    step(made)
    assert_equal(made)
    assert not made[1][1]._launches


BAD = {
    "eps": ["x", None],
    "betas": [None, (0.9,), torch.ones(3)],
    "lr": ["0.1", None, torch.ones(2)],
    "weight_decay": ["0.1", torch.ones(2)],
}


@pytest.mark.parametrize("name, value", [(n, v) for n, values in BAD.items() for v in values])
@pytest.mark.parametrize("state_dtype", ["float32", "bfloat16"])
def test_a_setting_that_turns_bad_is_refused_at_every_step(name, value, state_dtype):
    weight = nn.Parameter(torch.ones(4))
    optimizer = ravine.optim.Adam([weight], state_dtype=state_dtype)
    for _ in range(3):
        weight.grad = torch.ones(4)
        optimizer.step()
    before, good = weight.detach().clone(), optimizer.param_groups[0][name]
    optimizer.param_groups[0][name] = value
    for _ in range(2):
        with pytest.raises(SettingError, match=name):
            optimizer.step()
    assert torch.equal(weight, before)
    assert optimizer.state[weight]["step"] == 3
    optimizer.param_groups[0][name] = good
    optimizer.step()
    assert optimizer.state[weight]["step"] == 4


def test_a_gradient_of_a_subclass_or_of_another_dtype_takes_the_long_way():
    class Odd(torch.Tensor):
        pass

    weight, expected = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    mine, theirs = ravine.optim.SGD([weight], lr=0.1), torch.optim.SGD([expected], lr=0.1)
    for gradient in (torch.ones(4), torch.ones(4).as_subclass(Odd), torch.full((4,), 2.0)):
        weight.grad, expected.grad = gradient, gradient
        mine.step()
        theirs.step()
        assert torch.equal(weight, expected)


def test_channels_last_parameters_and_gradients():
    torch.manual_seed(0)
    value = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    made = []
    for place in (torch.optim, ravine.optim):
        parameters = [nn.Parameter(value.clone()), nn.Parameter(torch.ones(6, 2, 1, 1))]
        made.append((parameters, place.Adam(parameters, lr=0.1)))
    for k in range(4):
        for parameters, optimizer in made:
            for p in parameters:
                p.grad = torch.cos(p.detach())
                if k % 2:
                    p.grad = p.grad.contiguous()
            # A dimension of size 1 may have any stride.
            g = parameters[1].grad
            parameters[1].grad = g.as_strided(g.shape, (2, 1, 7, 9))
            optimizer.step()
        assert_equal(made)


def test_two_optimizers_share_parameters():
    """As of an optimizer that reads another's states, or of two in turns."""
    torch.manual_seed(0)
    made = []
    for place in (torch.optim, ravine.optim):
        weight = nn.Parameter(torch.ones(4))
        made.append((weight, [place.Adam([weight], lr=0.1), place.SGD([weight], lr=0.1)]))
    for k in range(6):
        for weight, optimizers in made:
            weight.grad = torch.cos(weight.detach())
            optimizers[k % 2].step()
    torch.testing.assert_close(made[1][0], made[0][0])


def test_without_the_interfaces_every_step_takes_the_long_way(monkeypatch):
    monkeypatch.setattr("ravine.optim._optimizer.readable", lambda _: False)
    made = pair(SQUARE, VECTOR)
    step(made)
    assert_equal(made)
    assert not made[1][1]._launches
