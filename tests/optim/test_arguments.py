"""What docs/drop-in.md says of arguments, for each class and argument."""

import inspect

import pytest
import torch
from torch import nn

import ravine.optim
from ravine.core.errors import SettingError
from ravine.optim import from_rule
from ravine.rules import get_rule
from tests.optim.test_classes import OF_TORCH, OURS

SUMMING = ["NovoGrad", "LARS", "LAMB", "DAdaptSGD", "DAdaptAdam", "Prodigy"]
WRAPPERS = ["SAM", "Lookahead"]
NO_RULE = [
    *("Muon", "MuonWithAdamW", "Shampoo", "SOAP", "LBFGS"),
    *("ArmijoGradientDescent", "NewtonTrustRegion", "LevenbergMarquardt"),
]
ELEMENTWISE = [*OF_TORCH, *(name for name in OURS if name not in SUMMING)]
EVERY = [*ELEMENTWISE, *SUMMING, *WRAPPERS, *NO_RULE, "Adafactor"]


def of_torch(name, argument):
    """Whether torch's class has an argument; a wrapper's is that of its base, SGD."""
    theirs = getattr(torch.optim, "SGD" if name in WRAPPERS else name, None)
    return theirs is not None and argument in inspect.signature(theirs).parameters


PAGE = {
    "foreach": (True, lambda name: of_torch(name, "foreach")),
    "fused": (True, lambda name: of_torch(name, "fused")),
    "capturable": (False, lambda name: of_torch(name, "capturable")),
    "differentiable": (False, lambda name: of_torch(name, "differentiable")),
    "maximize": (True, lambda name: name not in NO_RULE),
    "state_dtype": ("bfloat16", lambda name: name in [*ELEMENTWISE, "Lookahead"]),
    "param_rounding": ("nearest", lambda name: name in [*ELEMENTWISE, *WRAPPERS]),
    "rounding_seed": (3, lambda name: name in [*ELEMENTWISE, *WRAPPERS]),
    "wieght_decay": (0.1, lambda name: False),
}


def make(name, **arguments):
    weights = [(f"{layer}.weight", nn.Parameter(torch.zeros(2, 2))) for layer in "abc"]
    return getattr(ravine.optim, name)(weights, **arguments)


def test_the_page_speaks_of_every_class():
    classes = {
        name for name in ravine.optim.__all__ if inspect.isclass(getattr(ravine.optim, name))
    }
    assert sorted(EVERY) == sorted(classes - {"RuleOptimizer"})


@pytest.mark.parametrize("argument", PAGE)
@pytest.mark.parametrize("name", EVERY)
def test_a_class_has_the_arguments_that_the_page_says(name, argument):
    value, has = PAGE[argument]
    if has(name):
        assert make(name, **{argument: value}).defaults[argument] == value
    elif (name, argument) == ("SAM", "state_dtype"):
        with pytest.raises(SettingError, match="state_dtype and param_rounding must be left out"):
            make(name, **{argument: value})
    else:
        with pytest.raises(TypeError, match=f"argument '{argument}'"):
            make(name, **{argument: value})


@pytest.mark.parametrize("name", [name for name in EVERY if name not in NO_RULE[-2:]])
def test_a_rate_may_be_a_tensor(name):
    rate = torch.tensor(0.125)
    assert make(name, lr=rate).param_groups[0]["lr"] is rate


@pytest.mark.parametrize("name", [*ELEMENTWISE, *WRAPPERS])
def test_a_misspelled_setting_gets_the_nearest(name):
    with pytest.raises(TypeError, match=r"did you mean .*'maximize'"):
        make(name, maximise=True)


@pytest.mark.parametrize("name", EVERY)
def test_betas_may_be_tensors_all_or_none(name):
    default = inspect.signature(getattr(ravine.optim, name)).parameters.get("betas")
    if default is None:
        with pytest.raises(TypeError, match="argument 'betas'"):
            make(name, betas=(0.9, 0.99))
        return
    given = tuple(torch.tensor(beta) for beta in default.default)
    assert make(name, betas=given).param_groups[0]["betas"] == given
    if name != "SOAP":
        with pytest.raises(SettingError, match="both floats or both Tensors"):
            make(name, betas=(given[0], *default.default[1:]))


@pytest.mark.parametrize("name", ["adam", "lamb", "sam"])
def test_from_rule_has_the_arguments_that_the_page_says(name):
    weights = [nn.Parameter(torch.zeros(2))]
    for argument in ("maximize", "foreach", "fused", "capturable", "differentiable"):
        with pytest.raises(SettingError, match=f"unknown setting of {name} '{argument}'"):
            from_rule(get_rule(name))(weights, **{argument: True})
    if name == "adam":
        assert from_rule(get_rule(name))(weights, state_dtype="bfloat16")
    else:
        with pytest.raises(SettingError, match="must be left out"):
            from_rule(get_rule(name))(weights, state_dtype="bfloat16")
