"""Typed expressions: their derivatives in closed form, kinks, and what is refused."""

import math

import pytest
import torch

from ravine.core.errors import SettingError
from ravine.gradients import check_expression
from ravine.gradients._expression import FUNCTIONS, parse

NEURON = "1/(1+exp(-(w0*x0+w1*x1+w2)))"
NEURON_AT = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}


def derivatives(text, **at):
    found = check_expression(text, at)
    return {one.variable: one for one in found.derivatives}


def test_the_sigmoid_neuron_has_the_derivatives_of_its_closed_form():
    found = check_expression(NEURON, NEURON_AT)
    p = 1 / (1 + math.exp(-1))  # 2 * -1 + -3 * -2 - 3 = 1
    slope = p * (1 - p)
    exact = {"w0": -slope, "x0": 2 * slope, "w1": -2 * slope, "x1": -3 * slope, "w2": slope}
    assert found.ok and found.value == pytest.approx(p, rel=1e-15)
    assert {d.variable: d.analytic for d in found.derivatives} == pytest.approx(exact, rel=1e-14)
    assert {d.variable: d.numeric for d in found.derivatives} == pytest.approx(exact, rel=1e-9)
    assert all(d.relative_error < 1e-9 and not d.note for d in found.derivatives)


@pytest.mark.parametrize(
    ("text", "x", "exact"),
    [
        ("abs(x)", -2.0, -1.0),
        ("cos(x)", 0.7, -math.sin(0.7)),
        ("exp(x)", 30.0, math.exp(30.0)),
        ("log(x)", 1e-12, 1e12),
        ("max(x, 3)", 4.0, 1.0),
        ("min(x, 3)", 4.0, 0.0),
        ("relu(x)", 1e-9, 1.0),
        ("sigmoid(x)", 0.0, 0.25),
        ("sin(x)", 0.7, math.cos(0.7)),
        ("sqrt(x)", 4.0, 0.25),
        ("tan(x)", 0.5, 1 / math.cos(0.5) ** 2),
        ("tanh(x)", 0.5, 1 - math.tanh(0.5) ** 2),
        ("2**x - -x**3/4 + +x", 1.5, 2**1.5 * math.log(2) + 0.75 * 1.5**2 + 1),
        ("x", 7.0, 1.0),
        ("x**-2", 1e-9, -2e27),
        ("2*3*x + 4/8", 1.0, 6.0),
        ("x*1e-20", 3.0, 1e-20),
        ("sin(1e5*x)", 1.0, 1e5 * math.cos(1e5)),
        ("sin(x)", 1e6, math.cos(1e6)),
    ],
)
def test_derivatives_in_closed_form(text, x, exact):
    found = derivatives(text, x=x)["x"]
    assert found.ok and not found.note
    assert found.analytic == pytest.approx(exact, rel=1e-12, abs=1e-300)
    assert found.numeric == pytest.approx(exact, rel=1e-6, abs=1e-300)


def test_every_function_of_the_list_is_tried_above():
    tried = {"abs", "cos", "exp", "log", "max", "min", "relu", "sigmoid", "sin", "sqrt", "tan"}
    assert set(FUNCTIONS) == tried | {"tanh"}


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("relu(x)", "0 on the left and 1 on the right"),
        ("abs(x)*3", "-3 on the left and 3 on the right"),
        ("max(x, 0)", "0 on the left and 1 on the right"),
        ("relu(x - 1000) + x", None),
    ],
)
def test_a_kink_is_named_and_no_error(text, sides):
    at = 1000.0 if sides is None else 0.0
    found = derivatives(text, x=at)["x"]
    assert found.ok and found.note == (
        f"kink: the slope is {sides or '1 on the left and 2 on the right'}"
    )


def test_a_wrong_derivative_fails(monkeypatch):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.tanh(x)

        @staticmethod
        def backward(ctx, grad):
            return 1.01 * grad

    monkeypatch.setitem(FUNCTIONS, "tanh", Wrong.apply)
    found = check_expression("tanh(x) * y", {"x": 0.0, "y": 2.0})
    x, y = found.derivatives
    assert not found.ok and not x.ok and y.ok
    assert x.note == "autograd and differences disagree"
    assert x.relative_error == pytest.approx(0.01 / 1.01, rel=1e-6)


def test_a_derivative_that_is_not_finite_fails():
    found = derivatives("sqrt(x)", x=0.0)["x"]
    assert not found.ok and found.analytic == math.inf
    assert found.note == "the derivative is not finite here"
    page = check_expression("sqrt(x)", {"x": 0.0}).document()
    assert page["ok"] is False and page["variables"][0]["analytic"] == "inf"


def test_rounding_that_hides_a_slope_is_said():
    found = derivatives("x**2 - 1e8", x=1e-4)["x"]
    assert found.ok and found.note.startswith("precision")


def test_the_graph_is_that_of_the_course():
    table = check_expression("(x + y) * z", {"x": -2, "y": 5, "z": -4}).graph().frame()
    columns = ["source", "target", "value", "gradient"]
    assert table[columns].to_numpy().tolist() == [
        ["x", "add", -2.0, -4.0],
        ["y", "add", 5.0, -4.0],
        ["add", "mul", 3.0, -4.0],
        ["z", "mul", -4.0, 3.0],
        ["mul", "result", -12.0, 1.0],
    ]
    neuron = check_expression(NEURON, NEURON_AT).graph().frame()
    chain = neuron[neuron["source"].isin(["neg", "exp", "+ 1", "1 /"])]
    assert chain["source"].tolist() == ["neg", "exp", "+ 1", "1 /"]
    e = math.exp(-1)
    assert chain["value"].tolist() == pytest.approx([-1, e, 1 + e, 1 / (1 + e)])
    slope = -1 / (1 + e) ** 2
    assert chain["gradient"].tolist() == pytest.approx([slope * e, slope, slope, 1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must look like"),
        ("x +", "must look like"),
        ("x; y", "must look like"),
        ("x\0", "must look like"),
        ("(" * 300 + "x" + ")" * 300, "must look like"),
        ("-" * 101 + "x", "more than 100 levels deep"),
        ("x.real", r"may hold numbers, names, .* got 'x.real'"),
        ("x[0]", "may hold numbers"),
        ("x if x > 0 else y", "may hold numbers"),
        ("lambda: x", "may hold numbers"),
        ("(x := 3)", "may hold numbers"),
        ("'x'", "may hold numbers"),
        ("True * x", "may hold numbers"),
        ("1j * x", "may hold numbers"),
        ("x // 2", "may hold numbers"),
        ("x ^ 2", r"got 'x \^ 2'; a power is written \*\*"),
        ("exp(x=1)", "may hold numbers"),
        ("exp(*x)", "may hold numbers"),
        ("[x for x in y]", "may hold numbers"),
        ("sine(x)", "unknown function 'sine'; did you mean 'sin'"),
        ("exp", "exp is a function; call it"),
        ("max(x)", "max takes 2 arguments, got 1"),
        ("exp(x, y)", "exp takes 1 argument, got 2"),
        ("1 + 2", "must hold a variable"),
        ("9**9**9**9 * x", r"9 \*\* 9 \*\* 9 is inf"),
        ("x / (1 - 1) + 1/0", "1 / 0 is inf"),
        ("log(-1) * x", "is nan"),
        (f"{10**400} * x", "too large for float64"),
    ],
)
def test_what_is_no_such_expression_is_refused(text, words):
    with pytest.raises(SettingError, match=words):
        parse(text)


def test_nothing_that_is_typed_is_executed(tmp_path):
    mark = tmp_path / "mark"
    for text in (
        f"__import__('pathlib').Path({str(mark)!r}).touch()",
        f"open({str(mark)!r}, 'w')",
        f"x + (lambda: open({str(mark)!r}, 'w'))()",
        "x.__class__.__mro__[1].__subclasses__()",
    ):
        with pytest.raises(SettingError):
            check_expression(text, {"x": 1.0})
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("x*y", {"x": 1.0}, "every variable of x.y; y has none"),
        ("x", {"x": 1.0, "y": 2.0}, "at gives y, which x does not hold; its variables are x"),
        ("x", {"x": math.nan}, "at: x must be finite, got nan"),
        ("log(x) + exp(y)", {"x": -1.0, "y": 0.0}, r"log\(x\) is nan at x=-1, y=0"),
        ("exp(exp(x))", {"x": 10.0}, r"exp\(exp\(x\)\) is inf at x=10"),
        ("x**0.5", {"x": -1.0}, "is nan at x=-1"),
        ("y/(x - 2)", {"x": 2.0, "y": 1.0}, r"y / \(x - 2\) is inf"),
    ],
)
def test_values_that_do_not_fit_are_named(text, at, words):
    with pytest.raises(SettingError, match=words):
        check_expression(text, at)
