"""One optimizer for a network: who takes what, and that both halves are the known methods."""

import copy
import pickle

import pytest
import torch
from torch import nn

from ravine.optim._muon_routes import muon_groups
from ravine.optim._muon_with_adamw import MuonWithAdamW
from tests.optim.matrix_peers import give, largest_difference, through_a_file

F64 = torch.float64


class Language(nn.Module):
    """Embedding, attention, norms with matrices, and an output layer tied to the embedding."""

    def __init__(self, tied=False):
        super().__init__()
        self.tokens = nn.Embedding(9, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.norm = nn.LayerNorm((3, 4))
        self.head = nn.Linear(4, 9)
        if tied:
            self.head.weight = self.tokens.weight


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3), nn.Flatten(),
        nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2),
    )  # fmt: skip


def names(group):
    return [name for name, _ in group["params"]]


def test_hidden_kernels_and_matrices_go_to_muon():
    hidden, rest = muon_groups(convolutional())
    assert names(hidden) == ["0.weight", "2.weight", "4.weight"]
    assert names(rest) == ["0.bias", "1.weight", "1.bias", "2.bias", "4.bias", "6.weight", "6.bias"]
    hidden, rest = muon_groups(convolutional(), flatten_convolutions=False)
    assert names(hidden) == ["4.weight"]
    assert {"0.weight", "2.weight"} <= set(names(rest))


def test_embeddings_norms_and_the_output_layer_go_to_adamw():
    hidden, rest = muon_groups(Language())
    assert names(hidden) == ["attention.in_proj_weight", "attention.out_proj.weight"]
    assert {"tokens.weight", "norm.weight", "head.weight"} <= set(names(rest))


def test_a_weight_shared_with_the_embedding_goes_to_adamw_once():
    hidden, rest = muon_groups(Language(tied=True))
    assert names(rest).count("tokens.weight") == 1
    assert names(hidden) == ["attention.in_proj_weight", "attention.out_proj.weight"]


def test_named_parameters_are_told_apart_by_name():
    shapes = {
        "transformer.wte": (9, 4), "pos_embed": (1, 3, 4), "block.qkv": (4, 4),
        "block.layernorm": (3, 4), "block.mlp": (4, 4), "block.bias": (4,), "head": (9, 4),
    }  # fmt: skip
    named = [(name, nn.Parameter(torch.zeros(shape))) for name, shape in shapes.items()]
    hidden, rest = muon_groups(named)
    assert names(hidden) == ["block.qkv", "block.mlp"]
    assert names(hidden) + names(rest) == sorted(shapes, key=lambda n: n not in names(hidden))


def test_a_single_layer_is_the_output_layer():
    hidden, rest = muon_groups(nn.Linear(3, 2))
    assert (names(hidden), names(rest)) == ([], ["weight", "bias"])


def assert_two_torch_optimizers(model, other, optimizer, pair, flattened=()):
    generator = torch.Generator().manual_seed(0)
    schedules = [torch.optim.lr_scheduler.ExponentialLR(o, 0.98) for o in (optimizer, *pair)]
    for _ in range(100):
        give(generator, list(model.parameters()), list(other.parameters()))
        for matrix, kernel in flattened:
            matrix.grad = kernel.grad.flatten(1)
        for each in (optimizer, *pair):
            each.step()
        for schedule in schedules:
            schedule.step()
        with torch.no_grad():
            for matrix, kernel in flattened:
                kernel.copy_(matrix.view_as(kernel))
    assert largest_difference(list(model.parameters()), list(other.parameters())) <= 1e-12


@pytest.mark.parametrize("named", [True, False])
def test_both_halves_equal_torch(named):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)).to(F64)
    other = copy.deepcopy(model)
    optimizer = MuonWithAdamW(
        model.named_parameters() if named else model,
        lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw", nesterov=False,
        adamw_lr=0.01, adamw_betas=(0.8, 0.99), adamw_eps=1e-6, adamw_weight_decay=0.3,
    )  # fmt: skip
    hidden = [other[0].weight, other[1].weight]
    rest = [p for p in other.parameters() if all(p is not h for h in hidden)]
    muon = {"lr": 0.05, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw", "nesterov": False}
    adamw = {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.3}
    pair = torch.optim.Muon(hidden, **muon), torch.optim.AdamW(rest, **adamw)
    assert_two_torch_optimizers(model, other, optimizer, pair)


def test_kernels_equal_torch_on_their_flattened_matrices():
    torch.manual_seed(0)
    model = convolutional().to(F64)
    other = copy.deepcopy(model)
    kernels = [other[0].weight, other[2].weight]
    matrices = [nn.Parameter(k.detach().flatten(1).clone()) for k in kernels]
    hidden = [*matrices, other[4].weight]
    apart = {id(k) for k in (*kernels, other[4].weight)}
    rest = [p for p in other.parameters() if id(p) not in apart]
    pair = (
        torch.optim.Muon(hidden, lr=0.02, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=3e-4, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0),
    )
    flattened = list(zip(matrices, kernels, strict=True))
    assert_two_torch_optimizers(model, other, MuonWithAdamW(model), pair, flattened)


def test_groups_have_settings_of_their_own():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)).to(F64)
    other = copy.deepcopy(model)
    groups = [
        {"params": [model[0].weight], "use_muon": True, "lr": 0.1, "momentum": 0.5},
        {"params": [model[1].weight], "use_muon": False, "lr": 0.2, "amsgrad": True},
        {"params": [model[0].bias, model[1].bias, *model[2].parameters()], "use_muon": False},
    ]
    optimizer = MuonWithAdamW(groups, weight_decay=0.2, adamw_weight_decay=0.1)
    base = {"betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.1}
    rest = [other[0].bias, other[1].bias, *other[2].parameters()]
    pair = (
        torch.optim.Muon([other[0].weight], lr=0.1, momentum=0.5, weight_decay=0.2),
        torch.optim.AdamW([other[1].weight], lr=0.2, amsgrad=True, **base),
        torch.optim.AdamW(rest, lr=3e-4, **base),
    )
    assert_two_torch_optimizers(model, other, optimizer, pair)


def test_orthogonalisation_in_float64_equals_singular_vectors():
    """With the cubic that converges, enough steps give the orthogonal factor itself."""
    torch.manual_seed(0)
    matrix = nn.Parameter(torch.randn(3, 5, dtype=F64))
    start = matrix.detach().clone()
    optimizer = MuonWithAdamW(
        [{"params": [matrix], "use_muon": True}],
        lr=0.5, ns_coefficients=(1.5, -0.5, 0.0), ns_steps=60, ns_dtype="float64",
    )  # fmt: skip
    matrix.grad = torch.randn(3, 5, dtype=F64)
    optimizer.step()
    u, _, v = torch.linalg.svd(matrix.grad, full_matrices=False)
    assert torch.allclose(matrix, start - 0.5 * u @ v, rtol=0, atol=1e-12)


def trained(steps, copier=None):
    torch.manual_seed(0)
    model = convolutional()
    optimizer = MuonWithAdamW(model, adamw_weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        if copier is not None and step == 5:
            optimizer = copier(model, optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        give(generator, parameters)
        optimizer.step()
    return [p.detach() for p in parameters]


def reloaded(model, optimizer):
    fresh = MuonWithAdamW(model, lr=1.0)
    fresh.load_state_dict(through_a_file(optimizer.state_dict()))
    return fresh


@pytest.mark.parametrize(
    "copier",
    [reloaded, lambda _, o: copy.deepcopy(o), lambda _, o: pickle.loads(pickle.dumps(o))],
)
def test_resumed_equals_uninterrupted_bit_for_bit(copier):
    for a, b in zip(trained(12), trained(12, copier), strict=True):
        assert torch.equal(a, b)


def test_none_frozen_and_empty_parameters_are_left_alone():
    shapes = {"trained": (3, 3), "frozen": (3, 3), "empty": (0, 3), "bias": (0,), "head": (1, 3)}
    named = {name: nn.Parameter(torch.ones(shape)) for name, shape in shapes.items()}
    named["frozen"].requires_grad_(False)
    optimizer = MuonWithAdamW(named.items())
    for name in ("trained", "empty", "bias"):
        named[name].grad = torch.ones(shapes[name])
    optimizer.step()
    assert [name for name, p in named.items() if not p.equal(torch.ones_like(p))] == ["trained"]


def test_a_group_added_between_steps_and_names_in_another_order():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)).to(F64)
    late = nn.Parameter(torch.ones(3, dtype=F64))
    optimizer = MuonWithAdamW(model)
    generator = torch.Generator().manual_seed(0)
    give(generator, list(model.parameters()))
    optimizer.step()
    optimizer.add_param_group({"params": [("late", late)], "use_muon": False, "lr": 0.5})
    late.grad = torch.tensor([1.0, -2.0, 3.0], dtype=F64)
    optimizer.step()
    assert torch.allclose(late, torch.tensor([0.5, 1.5, 0.5], dtype=F64))
    hidden, rest = muon_groups(model)
    hidden["params"].reverse()
    rest["params"].reverse()
    other = MuonWithAdamW([hidden, rest, {"params": [("late", late)], "use_muon": False}])
    other.load_state_dict(optimizer.state_dict())
    for parameter, state in optimizer.state.items():
        assert all(torch.equal(value, other.state[parameter][key]) for key, value in state.items())


def test_nothing_to_train_is_an_error_as_in_torch():
    with pytest.raises(ValueError, match="empty parameter list"):
        MuonWithAdamW([])


def test_a_refused_gradient_changes_nothing():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    before = copy.deepcopy(model)
    optimizer = MuonWithAdamW(model)
    give(torch.Generator().manual_seed(0), list(model.parameters()))
    model[0].weight.grad = torch.ones(2, 2).to_sparse()
    with pytest.raises(RuntimeError, match="sparse gradients are not supported"):
        optimizer.step()
    for a, b in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"adamw_lr": -1.0}, "lr must be >= 0, got -1"),
        ({"adamw_betas": (0.9, 1.0)}, r"betas\[1\] must be in \[0, 1\), got 1"),
        ({"momentum": -1.0}, "momentum must be >= 0, got -1"),
        ({"ns_dtype": "float16"}, "ns_dtype must be one of 'bfloat16', 'float32', 'float64', got"),
    ],
)
def test_bad_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        MuonWithAdamW(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), **settings)


def test_bad_groups_are_named():
    matrix, vector = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match=r"params must come with names.*named_parameters"):
        MuonWithAdamW([matrix, vector])
    with pytest.raises(ValueError, match="use_muon of a parameter group must be True or False"):
        MuonWithAdamW([{"params": [matrix]}])
    with pytest.raises(ValueError, match=r"at least 2 dimensions, got shape \(2,\)"):
        MuonWithAdamW([{"params": [vector], "use_muon": True}])
    with pytest.raises(ValueError, match="unknown setting of a parameter group 'betas'"):
        MuonWithAdamW([{"params": [matrix], "use_muon": True, "betas": (0.9, 0.9)}])
    with pytest.raises(ValueError, match="capturable must be False, got True"):
        MuonWithAdamW([{"params": [matrix], "use_muon": False, "capturable": True}])
    with pytest.raises(ValueError, match="parameters must be real"):
        MuonWithAdamW([{"params": [nn.Parameter(torch.zeros(2, 2, dtype=torch.complex64))],
                        "use_muon": True}])  # fmt: skip
    optimizer = MuonWithAdamW([{"params": [matrix], "use_muon": True}])
    with pytest.raises(ValueError, match="lr must be >= 0, got -1"):
        optimizer.add_param_group({"params": [vector], "use_muon": False, "lr": -1.0})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": [vector], "use_muon": False})
    assert len(optimizer.param_groups) == 2


def test_a_model_without_hidden_matrices_has_one_group():
    optimizer = MuonWithAdamW(nn.Linear(2, 1))
    assert [group["use_muon"] for group in optimizer.param_groups] == [False]
