"""Models of one's own: import paths, files, callables, and every way they can fail."""

import sys

import pytest
import torch
from torch import nn

from ravine import problems
from ravine.core.errors import ModelError, SettingError
from ravine.problems import Problem

FILE = """
from dataclasses import dataclass
from torch import nn
import beside_the_file

@dataclass
class Settings:
    width: int = 7

def network(input_shape, classes):
    wide = Settings().width * beside_the_file.FACTOR
    return nn.Sequential(nn.Flatten(), nn.Linear(64, wide), nn.Linear(wide, classes))

not_a_function = 3
a_module = nn.Linear(2, 2)
"""


@pytest.fixture
def model_file(tmp_path):
    (tmp_path / "beside_the_file.py").write_text("FACTOR = 3\n")
    path = tmp_path / "my_model.py"
    path.write_text(FILE)
    yield path
    sys.modules.pop("beside_the_file", None)


def net(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


class Net(nn.Module):
    def __init__(self, input_shape, classes):
        super().__init__()
        self.inner = net(input_shape, classes)

    def forward(self, x):
        return self.inner(x)


def test_file(model_file):
    before = list(sys.path)
    problem = Problem(f"{model_file}:network")
    assert problem.model_name == f"{model_file}:network"
    assert problem.build(0)[1].out_features == 21
    assert sys.path == before


def test_module_in_the_current_folder(model_file, monkeypatch):
    monkeypatch.chdir(model_file.parent)
    before = list(sys.path)
    assert Problem("my_model:network").build(0)[1].out_features == 21
    assert sys.path == before
    del sys.modules["my_model"]


def test_callables():
    assert Problem(net).model_name == "net"
    assert Problem(Net).model_name == "Net"
    assert isinstance(Problem(Net).build(0), Net)


def test_factory_gets_input_shape_and_classes():
    seen = []

    def factory(input_shape, classes):
        seen.append((input_shape, classes))
        return net(input_shape, classes)

    Problem(factory)
    assert set(seen) == {((1, 8, 8), 10)}


def test_lazy_layers_take_their_shape_from_the_data(recwarn):
    problem = Problem(lambda shape, classes: nn.Sequential(nn.Flatten(), nn.LazyLinear(classes)))
    assert problem.describe()["parameters"] == 650
    assert problem.build(0)[1].weight.shape == (10, 64)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mpl", "unknown model 'mpl'; did you mean 'mlp'"),
        ("my_model.py", "must name a factory in its file, as in my_model.py:my_factory"),
        ("torch.nn.functional:rellu", "unknown factory of torch.nn.functional: 'rellu'; did you"),
    ],
)
def test_unknown_names(model, message):
    with pytest.raises(SettingError, match=message):
        Problem(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere.at_all:net", "'nowhere.at_all:net' cannot be imported: ModuleNotFoundError: No"),
        (":net", "model ':net' cannot be imported: ValueError"),
        ("missing/file.py:net", r"no such file missing.file.py; give path/to/file.py:factory"),
        (3, "model must be a string or a callable, got 3"),
        (nn.Linear(2, 2), "model must be a factory, got a Linear module; give a function"),
        (lambda: None, r"the factory, called with \(1, 8, 8\) and 10, raised TypeError: .*lambda"),
        (lambda shape, classes: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda shape, classes: None, "must return a torch.nn.Module, got a NoneType"),
        (lambda shape, classes: nn.Flatten(), "must have parameters to train, got none"),
        (
            lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, 7)),
            r"outputs must be \[B, classes\] = \(4, 10\) for 4 inputs of digits, got \(4, 7\)",
        ),
        (lambda shape, classes: nn.Linear(8, 10), r"got \(4, 1, 8, 10\)"),
        (
            lambda shape, classes: nn.Linear(3, 10),
            r"called with a batch of shape \(4, 1, 8, 8\) it raised RuntimeError: mat1 and mat2",
        ),
    ],
)
def test_models_that_do_not_fit(model, message):
    with pytest.raises(ModelError, match=message):
        Problem(model)


def test_attributes_of_a_file(model_file):
    with pytest.raises(
        SettingError, match=r"unknown factory of .*'netwrk'; did you mean 'network'"
    ):
        Problem(f"{model_file}:netwrk")
    with pytest.raises(ModelError, match="not_a_function must be a function of input shape"):
        Problem(f"{model_file}:not_a_function")
    with pytest.raises(ModelError, match=r"a_module must be a function .*, got a Linear"):
        Problem(f"{model_file}:a_module")


def test_a_file_that_raises_shows_its_error(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("raise KeyError('what went wrong')\n")
    message = "cannot be imported: KeyError: 'what went wrong'; give package.module:factory"
    with pytest.raises(ModelError, match=message) as caught:
        Problem(f"{path}:net")
    assert isinstance(caught.value.__cause__, KeyError)


def test_outputs_must_be_one_tensor_in_training_mode_too():
    class Auxiliary(Net):
        def forward(self, x):
            scores = self.inner(x)
            return (scores, scores) if self.training else scores

    with pytest.raises(ModelError, match="model 'Auxiliary': must return one tensor, got a tuple"):
        Problem(Auxiliary)


def test_one_module_for_all_calls_is_refused():
    shared = net((1, 8, 8), 10)
    with pytest.raises(ModelError, match="must return a new module at every call"):
        Problem(lambda shape, classes: shared)


def test_weights_from_elsewhere_than_the_seed_are_refused():
    generator = torch.Generator().manual_seed(0)

    def own_generator(shape, classes):
        model = net(shape, classes)
        nn.init.normal_(model[1].weight, generator=generator)
        return model

    with pytest.raises(ModelError, match="two builds from one seed differ; draw the initial"):
        Problem(own_generator)


def test_public_names():
    assert set(problems.__all__) == {
        "Data", "Problem", "Split", "load_data", "named_problem", "problem_names",
    }  # fmt: skip
