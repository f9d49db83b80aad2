"""`ravine check` below its options: exit status, JSON, bad input."""

import json

import pytest
import torch

from ravine.cli._check import CheckRequest, run_check, training_batch
from ravine.core.errors import RavineError
from ravine.problems import Problem

FAULTY = """
import torch
from torch import nn

class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, g):
        return 2 * g

def build(shape, classes):
    size = torch.Size(shape).numel()
    return Model(size, classes)

class Model(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.first = nn.Linear(size, 8)
        self.out = nn.Linear(8, classes)

    def forward(self, x):
        return self.out(Double.apply(torch.tanh(self.first(x.flatten(1)))))
"""


def request(**given):
    empty = dict.fromkeys(("data", "model", "loss", "sample", "batch", "graph"))
    off = {"full": False, "seed": 0, "as_json": False, "curvature": False}
    return CheckRequest(**(empty | off | given))


def test_curvature_and_graph_beside_the_check(tmp_path, capsys):
    graph = tmp_path / "graph.svg"
    assert run_check(request(model="mlp:4", batch=4, curvature=True, graph=graph)) == 0
    assert "gradient descent is stable here up to lr" in capsys.readouterr().out
    assert graph.read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(RavineError, match=r"--graph must be a file ending in \.svg"):
        run_check(request(graph=tmp_path / "graph.png"))
    with pytest.raises(RavineError, match="leave out --curvature"):
        run_check(request(curvature=True, as_json=True))


def test_a_sound_model_exits_0(capsys):
    assert run_check(request(model="mlp:8")) == 0
    said = capsys.readouterr()
    assert said.out.startswith("gradients agree: 5 tensors") and not said.err


def test_a_faulty_model_exits_1_and_json_says_why(tmp_path, capsys):
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY)
    assert run_check(request(model=f"{path}:build", as_json=True)) == 1
    page = json.loads(capsys.readouterr().out)
    assert page["ok"] is False
    assert {one["parameter"] for one in page["findings"]} == {"first.weight", "first.bias", "input"}
    assert all("Double.backward" in one["evidence"] for one in page["findings"])


def test_full_and_sample(capsys):
    assert run_check(request(model="linear", full=True, batch=4, loss="hinge")) == 0
    assert "and 906 entries one by one" in capsys.readouterr().out
    assert run_check(request(model="linear", sample=5, batch=4)) == 0
    assert "and 15 entries one by one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch": 0}, "--batch must be a whole number from 1 to"),
        ({"batch": 10**6}, "--batch must be a whole number from 1 to"),
        ({"sample": 0}, "sample must be an integer >= 1"),
        ({"sample": 3, "full": True}, "leave out sample"),
        ({"model": "mpl"}, "unknown model 'mpl'"),
    ],
)
def test_bad_options(given, words):
    with pytest.raises(RavineError, match=words):
        run_check(request(**given))


def test_the_batch_is_that_of_training():
    problem = Problem("linear")
    x, y = training_batch(problem, 7, 3)
    assert x.shape == (7, *problem.data.input_shape) and x.dtype == torch.float32
    rows = problem.order(3, 0, "full")[0][:7]
    assert y.equal(problem.data.y[torch.as_tensor(rows)])
