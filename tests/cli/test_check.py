"""`ravine check` below its options: exit status, JSON, bad input."""

import json

import pytest
import torch

from ravine.cli._app import main
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


def test_a_graph_too_large_is_refused_before_the_check(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ravine.gradients._graph.MOST_NODES", 3)
    graph = tmp_path / "graph.svg"
    with pytest.raises(RavineError, match="more than the 3 that can be read"):
        run_check(request(model="mlp:4", batch=4, graph=graph))
    assert capsys.readouterr().out == ""
    assert not graph.exists()


def test_a_model_whose_backward_raises_has_its_report_without_a_graph(tmp_path, capsys):
    path = tmp_path / "models.py"
    path.write_text(FAULTY.replace("return 2 * g", 'raise ValueError("not written yet")'))
    graph = tmp_path / "graph.svg"
    assert run_check(request(model=f"{path}:build", batch=4, graph=graph)) == 1
    said = capsys.readouterr()
    assert "the backward pass raises: ValueError: not written yet" in " ".join(said.out.split())
    assert "graph: not drawn: ValueError: not written yet" in said.err


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


LOSSES = """
import torch

class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, g):
        return g / 2

def right(outputs, targets):
    return (outputs - targets[:, None]).square().mean()

def wrong(outputs, targets):
    return right(Half.apply(outputs), targets)

def triple(outputs, targets):
    return 3 * torch.nn.functional.cross_entropy(outputs, targets)

def softmax(outputs, targets):
    return triple(outputs, targets)

criterion = torch.nn.MultiMarginLoss()
number = 3
"""


def test_losses_of_ones_own(tmp_path, capsys, monkeypatch):
    path = tmp_path / "my_losses.py"
    path.write_text(LOSSES)
    monkeypatch.chdir(tmp_path)
    for loss in (f"{path}:right", "my_losses:right", f"{path}:criterion"):
        assert run_check(request(model="linear", loss=loss, batch=4)) == 0
        assert capsys.readouterr().out.startswith("gradients agree")
    assert run_check(request(model="linear", loss=f"{path}:wrong", batch=4)) == 1
    assert "Half.backward" in capsys.readouterr().out


def test_a_loss_of_ones_own_is_not_taken_for_the_built_in_of_its_name(tmp_path, capsys):
    path = tmp_path / "my_losses.py"
    path.write_text(LOSSES)
    said = []
    for loss in (f"{path}:triple", f"{path}:softmax", "softmax"):
        run_check(request(model="mlp:2", loss=loss, batch=4, curvature=True))
        said.append(capsys.readouterr().out.split("\n", 1)[1])
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("hing", "unknown loss 'hing'.*hinge"),
        ("my.py", "--loss must name a function in its file, as in my.py:my_function"),
        ("no/file.py:loss", "--loss 'no/file.py:loss': no such file no/file.py"),
        ("no_such_module:loss", "--loss 'no_such_module:loss' cannot be imported: ModuleNotFound"),
        ("{}:rihgt", "unknown function of .*'rihgt'.*right"),
        ("{}:number", "number must be a function of outputs and targets, got a int"),
        ("{}:Half", "got the class Half; name an instance of it"),
    ],
)
def test_losses_that_cannot_be_had(loss, words, tmp_path):
    path = tmp_path / "my_losses.py"
    path.write_text(LOSSES)
    with pytest.raises(RavineError, match=words):
        run_check(request(loss=loss.format(path)))


def test_the_help_does_not_promise_agreement(capsys):
    assert run("--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 where gradients agree" not in said and "exit status is 1 where an error" in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch": 0}, "--batch must be a whole number from 1 to"),
        ({"batch": 10**6}, "--batch must be a whole number from 1 to"),
        ({"sample": 0}, "--sample must be a whole number >= 1, got 0"),
        ({"sample": 3, "full": True}, "leave out --sample, or --full"),
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


def test_half_precision_is_refused_before_a_problem_turns_it_into_float32(tmp_path):
    path = tmp_path / "half.py"
    path.write_text(
        "from torch import nn\n"
        "def build(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).bfloat16()\n"
    )
    with pytest.raises(RavineError, match=r"1\.weight is torch\.bfloat16.*return model\.float\(\)"):
        run_check(request(model=f"{path}:build"))


def test_files_that_cannot_be_written_are_named_before_anything_runs(tmp_path, capsys):
    (tmp_path / "folder.svg").mkdir()
    for path, words in (
        (tmp_path / "none" / "graph.svg", "--graph: folder .* does not exist"),
        (tmp_path / "folder.svg", "--graph: .* cannot be written"),
    ):
        with pytest.raises(RavineError, match=words):
            run_check(request(graph=path))
    assert capsys.readouterr().out == ""


def run(*arguments):
    """Return the exit status of a command line."""
    with pytest.raises(SystemExit) as stopped:
        main(["check", *arguments])
    return stopped.value.code or 0


def test_an_expression_is_checked_and_drawn(tmp_path, capsys):
    graph = tmp_path / "graph.svg"
    at = "x=-2, y=5, z=-4"
    assert run("--expression", "(x + y) * z", "--at", at, "--graph", str(graph)) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "gradients agree: (x + y) * z = -12"
    assert [line.split()[:3] for line in lines[2:]] == [
        ["x", "-2", "-4"],
        ["y", "5", "-4"],
        ["z", "-4", "3"],
    ]
    assert said.err == f"graph: {graph}\n"
    svg = graph.read_text(encoding="utf-8")
    assert svg.startswith("<svg") and ">-12</text>" in svg


def test_an_expression_as_json(capsys):
    assert run("--expression", "x**2*y", "--at", "x=3,y=-1", "--json") == 0
    page = json.loads(capsys.readouterr().out)
    assert page["ok"] is True and page["value"] == -9.0
    assert {one["variable"]: one["analytic"] for one in page["variables"]} == {"x": -6.0, "y": 9.0}
    assert all(one["relative_error"] < 1e-9 for one in page["variables"])


def test_an_expression_whose_derivative_is_infinite_exits_1(capsys):
    assert run("--expression", "sqrt(x)", "--at", "x=0") == 1
    out = capsys.readouterr().out
    assert out.startswith("WRONG GRADIENTS: sqrt(x) = 0")
    assert "ERROR x: the derivative is not finite here" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expression", "x*y"], "--expression needs values of its variables"),
        (["--at", "x=1"], "--at gives values to --expression"),
        (["--expression", "x", "--at", "x"], "--at must look like x=-2,y=5, got 'x'"),
        (["--expression", "x", "--at", "x=a"], "--at x must be a number, got 'a'"),
        (["--expression", "x", "--at", "x=1,x=2"], "--at must give x once"),
        (["--expression", "x", "--at", "x=nan"], "x must be finite"),
        (["--expression", "log(x)", "--at", "x=-1"], "log(x) is nan at x=-1"),
        (
            ["--expression", "x", "--at", "x=1", "--model", "mlp", "--loss", "hinge", "--full"],
            "leave out --model and --loss and --full",
        ),
        (["--expression", "x", "--at", "x=1", "--seed", "3"], "leave out --seed"),
        (["--expression", "x", "--at", "x=1", "--graph", "x.png"], "ending in .svg"),
    ],
)
def test_bad_expressions_exit_2(arguments, words, capsys):
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err and not said.out
