"""What all matrix methods share: groups, checkpoints, copies, and the inputs they refuse."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

from ravine.optim._matrix_methods import MATRIX_METHODS
from ravine.rules import Range
from tests.optim.matrix_peers import MATRICES, SHAPES, give, through_a_file, weights

NAMES = ["adafactor", "muon", "shampoo", "soap"]
MODERN = pytest.mark.parametrize("name", NAMES)


def made(name, parameters, **settings):
    return MATRIX_METHODS[name].optimizer(parameters, **settings)


def shapes_of(name):
    return MATRICES if name == "muon" else SHAPES


def trained(name, dtype, copier=None):
    optimizer = made(name, weights(shapes_of(name), dtype), lr=0.05, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for step in range(24):
        if copier is not None and step == 13:  # between two refreshes of SOAP's bases
            optimizer = copier(optimizer)
        parameters = optimizer.param_groups[0]["params"]
        give(generator, parameters)
        optimizer.step()
    return parameters


def reloaded(optimizer):
    parameters = [nn.Parameter(p.detach().clone()) for p in optimizer.param_groups[0]["params"]]
    fresh = type(optimizer)(parameters)
    fresh.load_state_dict(through_a_file(optimizer.state_dict()))
    return fresh


@pytest.mark.parametrize(
    "copier", [reloaded, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@MODERN
def test_resumed_equals_uninterrupted_bit_for_bit(name, dtype, copier):
    for a, b in zip(trained(name, dtype), trained(name, dtype, copier), strict=True):
        assert torch.equal(a, b)


@MODERN
def test_none_frozen_and_empty_parameters_are_left_alone(name):
    trained_, frozen, unused, empty = (nn.Parameter(torch.ones(s))
                                       for s in [(2, 2), (2, 2), (2, 2), (0, 2)])  # fmt: skip
    frozen.requires_grad_(False)
    optimizer = made(name, [{"params": [trained_, frozen, unused, empty]}, {"params": []}])
    for _ in range(2):
        trained_.grad, empty.grad = torch.tensor([[1.0, 2.0], [3.0, 5.0]]), torch.ones(0, 2)
        optimizer.step()
    assert torch.equal(frozen, torch.ones(2, 2))
    assert torch.equal(unused, torch.ones(2, 2))
    assert not torch.equal(trained_, torch.ones(2, 2))
    assert list(optimizer.state) == [trained_]


@MODERN
def test_groups_have_settings_of_their_own(name):
    together, [alone], [other] = weights([(3, 2)] * 2), weights([(3, 2)]), weights([(3, 2)] * 2)[1:]
    optimizer = made(
        name, [{"params": together[:1]}, {"params": together[1:], "lr": 0.3, "weight_decay": 0.5}]
    )
    singles = [made(name, [alone]), made(name, [other], lr=0.3, weight_decay=0.5)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        give(generator, together)
        alone.grad, other.grad = (p.grad.clone() for p in together)
        for each in (optimizer, *singles):
            each.step()
    assert torch.equal(together[0], alone)
    assert torch.equal(together[1], other)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@MODERN
def test_checkpoints_of_named_parameters_are_matched_by_name(name, dtype):
    shapes = dict(zip("abcd", MATRICES, strict=True))
    ours = dict(zip(shapes, weights(MATRICES, dtype), strict=True))
    optimizer = made(name, ours.items())
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        give(generator, list(ours.values()))
        optimizer.step()
    others = {key: nn.Parameter(ours[key].detach().clone()) for key in "cadb"}
    other = made(name, others.items())
    other.load_state_dict(through_a_file(optimizer.state_dict()))
    for _ in range(3):
        give(generator, list(ours.values()), [others[key] for key in ours])
        optimizer.step()
        other.step()
    assert all(torch.equal(ours[key], others[key]) for key in ours)
    missing = made(name, [("a", nn.Parameter(ours["a"].detach().clone()))])
    with pytest.raises(ValueError, match="unexpected: b, c, d"):
        missing.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("name", ["shampoo", "soap"])
def test_eigenvalues_of_gradients_that_are_not_finite_are_refused(name):
    [weight] = weights([(3, 3)])
    weight.grad = torch.full_like(weight, float("nan"))
    with pytest.raises(torch.linalg.LinAlgError, match=r"non-finite|converge"):
        made(name, [weight]).step()


@MODERN
def test_layout_of_weights_and_gradients_does_not_matter(name):
    # Square for SOAP: of a gradient with fewer columns than rows the first left basis is free
    # where the gradient is 0, so that rounding would choose it.
    n = 4 if name == "soap" else 6
    values = weights([(4, n)])[0].detach()
    strided = torch.zeros(4, 2 * n, dtype=torch.float64)[:, ::2].copy_(values)
    sides = [[nn.Parameter(v)] for v in (values.clone(), values.T.contiguous().T, strided)]
    optimizers = [made(name, side, lr=0.05) for side in sides]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        give(generator, *sides)
        sides[0][0].grad = sides[0][0].grad.T.contiguous().T
        for optimizer in optimizers:
            optimizer.step()
    for [other] in sides[1:]:
        assert torch.allclose(other, sides[0][0], rtol=0, atol=1e-13)


@MODERN
def test_a_refused_gradient_changes_nothing(name):
    first, second = weights([(2, 2), (2, 2)])
    before = first.detach().clone()
    optimizer = made(name, [first, second])
    first.grad, second.grad = torch.ones_like(first), torch.ones_like(second).to_sparse()
    with pytest.raises(RuntimeError, match="sparse gradients are not supported"):
        optimizer.step()
    assert torch.equal(first, before)
    assert not optimizer.state


@MODERN
def test_complex_and_distributed_parameters_are_refused(name):
    with pytest.raises(ValueError, match="parameters must be real, got a complex one"):
        made(name, [nn.Parameter(torch.zeros(2, 2, dtype=torch.complex128))])

    class Wrapper(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            raise NotImplementedError

    with pytest.raises(ValueError, match="parameters must be plain tensors, got a Wrapper"):
        made(name, [torch.zeros(2, 2).as_subclass(Wrapper)])


@MODERN
def test_unknown_settings_are_named_and_the_group_is_not_added(name):
    optimizer = made(name, weights([(2, 2)]))
    with pytest.raises(ValueError, match=r"unknown setting of a parameter group 'lrr'.*'lr'"):
        optimizer.add_param_group({"params": weights([(2, 2)]), "lrr": 1.0})
    assert len(optimizer.param_groups) == 1


@MODERN
def test_closures_names_and_hooks(name):
    model = nn.Linear(3, 2, bias=False)
    optimizer = made(name, model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight"]
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses[2] < losses[0]
    assert calls == ["after"] * 3


@MODERN
def test_changing_weights_between_forward_and_backward_is_noticed(name):
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = made(name, [weight], lr=0.1)
    for _ in range(2):  # SOAP's first step moves nothing
        weight.grad = torch.ones(2, 2)
        loss = (weight * weight).sum()
        optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", MATRIX_METHODS)
def test_the_table_is_complete(name):
    method = MATRIX_METHODS[name]
    assert method.formula
    assert "20" in method.paper
    assert method.reason
    settings = inspect.signature(method.optimizer).parameters
    assert "lr" in method.space
    for setting, notation in method.space.items():
        assert setting in settings
        found = Range.parse(notation)
        assert found.low <= method.defaults[setting] <= found.high
