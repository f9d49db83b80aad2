"""Checkpoints are looked at before anything changes: groups, settings, and what states hold."""

import copy

import pytest
import torch
from torch import nn

import ravine.optim
from ravine.optim import Adam, MuonWithAdamW
from tests.optim.matrix_peers import give, through_a_file, weights

SHAPES = [(6, 4), (5, 5)]
MATRIX = {
    "Adafactor": {},
    "Muon": {},
    "MuonWithAdamW": {},
    "Shampoo": {"momentum": 0.9, "max_size": 5},
    "SOAP": {"max_precond_dim": 5},
}
CLOSURE = {
    "ArmijoGradientDescent": {},
    "NewtonTrustRegion": {},
    "LevenbergMarquardt": {},
    "LBFGS": {"line_search_fn": "strong_wolfe"},
}
RULE = {"Adam": {}}
BOTH = pytest.mark.parametrize("name", [*MATRIX, *CLOSURE])


def made(name, shapes=SHAPES, seed=0):
    parameters = weights(shapes, seed=seed)
    kind, settings = getattr(ravine.optim, name), {**MATRIX, **CLOSURE, **RULE}[name]
    if name == "MuonWithAdamW":
        parameters = [
            {"params": parameters[:1], "use_muon": True},
            {"params": parameters[1:], "use_muon": False},
        ]
    return kind(parameters, **settings)


def all_of(optimizer):
    return [p for group in optimizer.param_groups for p in group["params"]]


def step(name, optimizer):
    if name not in CLOSURE:
        give(torch.Generator().manual_seed(1), all_of(optimizer))
        optimizer.step()
        return

    def closure():
        optimizer.zero_grad()
        residuals = torch.cat([(p**2 - 1).flatten() for p in all_of(optimizer)])
        if name == "LevenbergMarquardt":
            return residuals
        loss = residuals.square().sum()
        if name != "NewtonTrustRegion":
            loss.backward()
        return loss

    optimizer.step(closure)


def trained(name, seed=0):
    optimizer = made(name, seed=seed)
    for _ in range(3):
        step(name, optimizer)
    return optimizer


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def assert_refused(optimizer, saved, message):
    before, kept = copy.deepcopy(optimizer.state_dict()), dict(optimizer.state)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert same(optimizer.state_dict(), before)
    assert all(optimizer.state[p] is state for p, state in kept.items())


def tensors(state, place=()):
    """Return where a state holds tensors with elements beyond one."""
    found = []
    for key, value in state.items() if isinstance(state, dict) else enumerate(state):
        if isinstance(value, list):
            found += tensors(value, (*place, key))
        elif isinstance(value, torch.Tensor) and value.ndim:
            found.append((*place, key))
    return found


@BOTH
def test_what_one_writes_another_loads(name):
    saved = trained(name).state_dict()
    optimizer = made(name, seed=3)
    optimizer.load_state_dict(through_a_file(saved))
    assert same(optimizer.state_dict(), saved)
    fresh = made(name)
    fresh.load_state_dict(made(name).state_dict())
    assert fresh.state_dict()["state"] == {}


@BOTH
def test_no_optimizers_state_is_refused(name):
    optimizer = trained(name)
    assert_refused(optimizer, {"weight": torch.ones(2)}, r"state_dict\(\).*got \['weight'\]")
    assert_refused(optimizer, {"param_groups": []}, r"state_dict\(\).*got \['param_groups'\]")


@BOTH
def test_other_numbers_of_groups_and_parameters_are_refused(name):
    optimizer = trained(name)
    saved = trained(name, seed=3).state_dict()
    saved["param_groups"].append(dict(saved["param_groups"][-1], params=[]))
    assert_refused(optimizer, saved, "different number of parameter groups")
    saved["param_groups"] = []
    assert_refused(optimizer, saved, "different number of parameter groups")
    saved = trained(name, seed=3).state_dict()
    saved["param_groups"][0]["params"] = []
    assert_refused(optimizer, saved, "doesn't match the size of optimizer's group")


@BOTH
def test_settings_that_are_refused_when_given_are_refused_when_loaded(name):
    optimizer = trained(name)
    for group in range(len(optimizer.param_groups)):
        saved = trained(name, seed=3).state_dict()
        saved["param_groups"][group]["bogus"] = 1
        assert_refused(optimizer, saved, "unknown setting of a parameter group 'bogus'")
        del saved["param_groups"][group]["bogus"]
        setting = next(s for s in saved["param_groups"][group] if s not in ("params", "use_muon"))
        saved["param_groups"][group][setting] = -5
        assert_refused(optimizer, saved, f"{setting}.* got -5")


@BOTH
def test_every_tensor_of_another_shape_is_refused(name):
    optimizer, found = trained(name), 0
    for number, state in optimizer.state_dict()["state"].items():
        for *place, last in tensors(state):
            saved = copy.deepcopy(trained(name, seed=3).state_dict())
            within = saved["state"][number]
            for key in place:
                within = within[key]
            within[last] = torch.ones(3, 2, 7)
            key = [*place, last][0]
            assert_refused(optimizer, saved, rf"{key}.* of parameter {number} must .*\(3, 2, 7\)")
            found += 1
    assert found or name in ("ArmijoGradientDescent", "NewtonTrustRegion", "LevenbergMarquardt")


@BOTH
def test_names_of_state_that_are_missing_or_unexpected_are_listed(name):
    optimizer = trained(name)
    first = optimizer.state_dict()["state"][0]
    optional = {"momentum_buffer"} if name == "Shampoo" else {"step_size"}
    for key in first.keys() - optional if len(first) > 1 else ():  # nothing at all has not begun
        saved = copy.deepcopy(trained(name, seed=3).state_dict())
        del saved["state"][0][key]
        assert_refused(optimizer, saved, f"missing: {key}; unexpected: none")
    saved = copy.deepcopy(trained(name, seed=3).state_dict())
    saved["state"][0]["ether"] = 1.0
    assert_refused(optimizer, saved, "missing: none; unexpected: ether")


@BOTH
def test_numbers_and_lists_that_are_none_are_refused(name):
    optimizer = trained(name)
    for key in optimizer.state_dict()["state"][0]:
        saved = copy.deepcopy(trained(name, seed=3).state_dict())
        saved["state"][0][key] = "three"
        assert_refused(optimizer, saved, f"{key}.* of parameter 0 must .* got str")


@pytest.mark.parametrize("name", MATRIX)
def test_parameters_with_names_are_called_by_them(name):
    optimizer = made(name)
    for i, group in enumerate(optimizer.param_groups):
        group["param_names"] = [f"layer{i}.{j}" for j in range(len(group["params"]))]
    saved = copy.deepcopy(trained(name).state_dict())
    for own, group in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        group["param_names"] = own["param_names"]
    saved["state"][0] = {}
    saved["state"][1]["ether"] = 1.0
    named = "exp_avg" if name == "MuonWithAdamW" else "layer0.1"
    if name == "MuonWithAdamW":  # whose other half, as AdamW, ignores what it does not know
        del saved["state"][1]["ether"]
        saved["state"][1]["exp_avg"] = torch.ones(2)
        named = "exp_avg .* of layer1.0"
    assert_refused(optimizer, saved, named)


def test_states_of_all_weights_lie_at_the_first_alone():
    optimizer = trained("LBFGS")
    saved = trained("LBFGS", seed=3).state_dict()
    saved["state"][1] = {"func_evals": 1}
    assert_refused(optimizer, saved, "parameter 1 must .*unexpected: func_evals")


def test_a_memory_of_pairs_that_do_not_match_is_refused():
    optimizer = trained("LBFGS")
    saved = trained("LBFGS", seed=3).state_dict()
    saved["state"][0]["old_stps"].pop()
    assert_refused(optimizer, saved, "old_stps .* of parameter 0 must be a list of")


def test_checkpoints_of_another_method_are_refused():
    for name in MATRIX.keys() - {"MuonWithAdamW"}:
        other = "SOAP" if name == "Muon" else "Muon"
        saved = {
            **trained(name).state_dict(),
            "param_groups": made(other).state_dict()["param_groups"],
        }
        assert_refused(trained(other), saved, "missing: .*unexpected: ")


@pytest.mark.parametrize("settings", [{}, {"state_dtype": "int8"}, {"amsgrad": True}])
def test_states_of_rules_have_their_parameters_shapes(settings):
    def stepped(shape):
        weight = nn.Parameter(torch.ones(shape))
        weight.grad = torch.ones(shape)
        optimizer = Adam([weight], **settings)
        optimizer.step()
        return optimizer

    for key in stepped((3,)).state_dict()["state"][0].keys() - {"step"}:
        optimizer = stepped((3,))
        saved = optimizer.state_dict()
        saved["state"][0] |= {key: stepped((600,)).state_dict()["state"][0][key]}
        if saved["state"][0][key].shape != optimizer.state_dict()["state"][0][key].shape:
            assert_refused(optimizer, saved, f"{key} in .* of parameter 0 must have the shape")
    assert_refused(stepped((3,)), stepped((600,)).state_dict(), r"must have the shape .*, got")


@pytest.mark.parametrize("state", [None, (), "", 0, [1]])
@pytest.mark.parametrize("name", [*MATRIX, *CLOSURE, "Adam"])
def test_a_state_that_is_no_mapping_is_refused(name, state):
    """torch would install it, and stop at the next step."""
    optimizer = trained(name)
    saved = trained(name, seed=3).state_dict()
    saved["state"][0] = state
    message = f"state of parameter 0 must be a mapping, got {type(state).__name__}; leave out"
    assert_refused(optimizer, saved, message)
    saved["state"] = state
    assert_refused(optimizer, saved, "'state' of the checkpoint must be a mapping")


def test_a_lazy_parameter_may_load_what_an_unused_one_wrote():
    lazy = nn.LazyLinear(2)
    optimizer = Adam(lazy.parameters(), lr=0.1)
    optimizer.load_state_dict(Adam(nn.LazyLinear(2).parameters(), lr=0.5).state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_whole_model_is_loaded_by_halves():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    saved = MuonWithAdamW(model).state_dict()
    saved["param_groups"][0]["use_muon"] = False
    with pytest.raises(ValueError, match="momentum"):
        MuonWithAdamW(model).load_state_dict(saved)


@pytest.mark.parametrize("name", ["Lion", "SGD", "SOAP", "LBFGS"])
def test_a_checkpoint_of_what_was_loaded_is_loaded_again(name):
    """torch's loader adds a setting to the defaults of every class, which some do not have."""
    kind, saved = getattr(ravine.optim, name), None
    for _ in range(3):
        optimizer = kind([nn.Parameter(torch.ones(2, 2))])
        settings = set(optimizer.param_groups[0])
        if saved is not None:
            optimizer.load_state_dict(saved)
        assert set(optimizer.param_groups[0]) == settings
        assert set(copy.deepcopy(optimizer).param_groups[0]) == settings
        saved = optimizer.state_dict()
