"""Expressions as they are typed, such as ``1/(1+exp(-(w*x+b)))``: read, never executed as code."""

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError, unknown

MOST_LEVELS = 100  # of nesting, far below Python's limit of calls within calls

Number = float | Tensor

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: a,
}
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "abs": torch.abs,
    "cos": torch.cos,
    "exp": torch.exp,
    "log": torch.log,
    "max": lambda a, b: torch.maximum(_tensor(a), _tensor(b)),
    "min": lambda a, b: torch.minimum(_tensor(a), _tensor(b)),
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "tan": torch.tan,
    "tanh": torch.tanh,
}
_OF_TWO = ("max", "min")


@dataclass(frozen=True)
class Part:
    """An operation of an expression on its operands: numbers, names of variables, other parts."""

    text: str
    apply: Callable[..., Any]
    operands: "tuple[float | str | Part, ...]"

    def __call__(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the value where the variables are tensors."""
        made = (o if isinstance(o, float) else _at(o, values) for o in self.operands)
        result: Tensor = self.apply(*made)
        return result


@dataclass(frozen=True)
class Expression:
    """A scalar expression of named variables.

    Args:
        text: As it was typed.
        names: The variables, in the order in which they appear.
        root: The last operation.
    """

    text: str
    names: tuple[str, ...]
    root: Part

    def __call__(self, **values: Tensor) -> Tensor:
        """Return the value where the variables are scalar tensors."""
        return self.root(values)

    def first_not_finite(self, values: Mapping[str, Tensor]) -> Part | None:
        """Return the first operation, in the order of evaluation, that gives NaN or infinity."""
        parts = (p for p in _parts(self.root) if not bool(torch.isfinite(p(values))))
        return next(parts, None)


def parse(text: str) -> Expression:
    """Read an expression: numbers, names, ``+ - * / **``, and the functions of a short list.

    Args:
        text: In Python's notation. Functions: abs, cos, exp, log, max, min, relu, sigmoid, sin,
            sqrt, tan, tanh.

    Raises:
        SettingError: The text is no such expression, or holds no variable.

    >>> neuron = parse("1/(1+exp(-(w0*x0+w1*x1+w2)))")
    >>> neuron.names
    ('w0', 'x0', 'w1', 'x1', 'w2')
    >>> float(parse("(x + y) * z")(x=torch.tensor(-2.0), y=torch.tensor(5.0), z=torch.tensor(-4.0)))
    -12.0
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise SettingError(f"expression must look like (x + y) * z, got {text!r}: {said}") from None
    names: dict[str, None] = {}
    root = _read(tree.body, names, 0)
    if not names:
        raise SettingError(f"expression must hold a variable, got {text!r}; name one, as in 2*x")
    if not isinstance(root, Part):  # a variable alone: its derivative is 1
        root = Part(str(root), lambda a: a * 1.0, (root,))
    return Expression(text.strip(), tuple(names), root)


def _read(node: ast.expr, names: dict[str, None], level: int) -> float | str | Part:
    """Return what a node of Python's syntax tree means, and add its variables to `names`."""
    if level > MOST_LEVELS:
        raise SettingError(
            f"expression is nested more than {MOST_LEVELS} levels deep; give a smaller one"
        )
    if isinstance(node, ast.Name):
        return _variable(node.id, names)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _constant(node)
    apply, operands = _operation(node)
    made = tuple([_read(one, names, level + 1) for one in operands])
    text = ast.unparse(node)
    if all(isinstance(one, float) for one in made):
        return _folded(text, apply, made)
    return Part(text, apply, made)


def _operation(node: ast.expr) -> tuple[Callable[..., Any], list[ast.expr]]:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)], [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)], [node.operand]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _called(node.func.id, node.args)
    hint = "; a power is written **" if _is_xor(node) else ""
    raise SettingError(
        f"expression may hold numbers, names, + - * / ** and the functions {', '.join(FUNCTIONS)};"
        f" got {ast.unparse(node)!r}{hint}"
    )


def _is_xor(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor)


def _called(name: str, given: list[ast.expr]) -> tuple[Callable[..., Any], list[ast.expr]]:
    if name not in FUNCTIONS:
        raise unknown("function", name, FUNCTIONS)
    count = 2 if name in _OF_TWO else 1
    if len(given) != count:
        raise SettingError(
            f"{name} takes {count} argument{'s' if count > 1 else ''}, got {len(given)}"
        )
    return FUNCTIONS[name], given


def _variable(name: str, names: dict[str, None]) -> str:
    if name in FUNCTIONS:
        raise SettingError(
            f"{name} is a function; call it, as in {name}(x), or rename the variable"
        )
    names[name] = None
    return name


def _constant(node: ast.Constant) -> float:
    try:
        return float(node.value)  # type: ignore[arg-type]
    except OverflowError:
        raise SettingError("expression holds a number too large for float64") from None


def _folded(text: str, apply: Callable[..., Any], numbers: tuple[Any, ...]) -> float:
    """Return an operation on numbers alone; torch's functions want tensors."""
    value = float(apply(*map(_tensor, numbers)))
    if not math.isfinite(value):
        raise SettingError(f"{text} is {value}; an expression must be finite")
    return value


def _tensor(number: Number) -> Tensor:
    return number if isinstance(number, Tensor) else torch.tensor(number, dtype=torch.float64)


def _at(operand: str | Part, values: Mapping[str, Tensor]) -> Tensor:
    return values[operand] if isinstance(operand, str) else operand(values)


def _parts(part: Part) -> Iterator[Part]:
    """Yield the operations in the order of evaluation."""
    for one in part.operands:
        if isinstance(one, Part):
            yield from _parts(one)
    yield part
