"""The words a formula may use: each works on numbers, tensors, SymPy symbols and leaves alike.

A rule is one plain Python function. It is called with torch tensors for the reference step and
with SymPy symbols for tracing, so a function such as ``sqrt`` has to choose by its argument.
"""

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from sympy.functions.elementary.piecewise import ExprCondPair

OVER = ("channel", "tensor", "member")


class SumOver(sympy.Function):
    """A reduction inside an expression: ``SumOver(x, Symbol("tensor"))``."""

    nargs = 2


@dataclass(frozen=True, eq=False)
class Leaves:
    """One value per weight tensor of a model, with arithmetic leaf by leaf.

    This is what a reference step computes with, so that ``norm(g, over="member")`` can see all
    tensors of a model while the formula is still written for one.

    Args:
        values: A tensor or number per weight tensor.
    """

    values: tuple[Any, ...]

    def __add__(self, other: Any) -> "Leaves":
        return each(operator.add, self, other)

    def __radd__(self, other: Any) -> "Leaves":
        return each(operator.add, other, self)

    def __sub__(self, other: Any) -> "Leaves":
        return each(operator.sub, self, other)

    def __rsub__(self, other: Any) -> "Leaves":
        return each(operator.sub, other, self)

    def __mul__(self, other: Any) -> "Leaves":
        return each(operator.mul, self, other)

    def __rmul__(self, other: Any) -> "Leaves":
        return each(operator.mul, other, self)

    def __truediv__(self, other: Any) -> "Leaves":
        return each(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> "Leaves":
        return each(operator.truediv, other, self)

    def __pow__(self, other: Any) -> "Leaves":
        return each(operator.pow, self, other)

    def __rpow__(self, other: Any) -> "Leaves":
        return each(operator.pow, other, self)

    def __neg__(self) -> "Leaves":
        return each(operator.neg, self)

    def __abs__(self) -> "Leaves":
        return each(abs, self)

    # Of symbols == is False and they are no truth values either: what a formula would decide by
    # them could not be seen in its expression.
    def __eq__(self, other: object) -> bool:
        raise TypeError("a formula cannot use == or !=; where() compares with <, <=, > or >=")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a formula cannot branch in Python; use where(condition, a, b)")

    def __lt__(self, other: Any) -> "Leaves":
        return each(operator.lt, self, other)

    def __le__(self, other: Any) -> "Leaves":
        return each(operator.le, self, other)

    def __gt__(self, other: Any) -> "Leaves":
        return each(operator.gt, self, other)

    def __ge__(self, other: Any) -> "Leaves":
        return each(operator.ge, self, other)


def each(function: Callable[..., Any], *arguments: Any) -> Leaves:
    """Apply a function leaf by leaf; arguments that are not leaves are shared by all."""
    count = next(len(a.values) for a in arguments if isinstance(a, Leaves))
    columns = [a.values if isinstance(a, Leaves) else (a,) * count for a in arguments]
    return Leaves(tuple(function(*row) for row in zip(*columns, strict=True)))


def sqrt(x: Any) -> Any:
    """Return the square root.

    >>> sqrt(9.0)
    3.0
    """
    return _apply(x, sympy=sympy.sqrt, torch=torch.sqrt, number=_real_sqrt)


def absolute(x: Any) -> Any:
    """Return the absolute value."""
    return _apply(x, sympy=_unevaluated(sympy.Abs), torch=torch.abs, number=abs)


def exp(x: Any) -> Any:
    """Return e to the power of x."""
    return _apply(x, sympy=_unevaluated(sympy.exp), torch=torch.exp, number=math.exp)


def log(x: Any) -> Any:
    """Return the natural logarithm."""
    return _apply(x, sympy=_unevaluated(sympy.log), torch=torch.log, number=_real_log)


def floor(x: Any) -> Any:
    """Return the largest integer that is not above x."""
    return _apply(x, sympy=_unevaluated(sympy.floor), torch=torch.floor, number=_number_floor)


def sign(x: Any) -> Any:
    """Return -1, 0 or 1 with the sign of x; NaN stays NaN."""
    return _apply(x, sympy=_unevaluated(sympy.sign), torch=_torch_sign, number=_number_sign)


def maximum(a: Any, b: Any) -> Any:
    """Return the larger of two values; NaN if either is NaN."""
    return _apply(a, b, sympy=_unevaluated(sympy.Max), torch=torch.maximum, number=_extreme(max))


def minimum(a: Any, b: Any) -> Any:
    """Return the smaller of two values; NaN if either is NaN."""
    return _apply(a, b, sympy=_unevaluated(sympy.Min), torch=torch.minimum, number=_extreme(min))


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition holds and ``b`` elsewhere: a formula's only branch.

    >>> where(2 > 1, 10.0, 20.0)
    10.0
    """
    return _apply(
        condition, a, b, sympy=_piecewise, torch=torch.where, number=lambda c, x, y: x if c else y
    )


def total(x: Any, *, over: str) -> Any:
    """Return the sum of all entries of a channel, of a weight tensor, or of a member's tensors.

    Args:
        x: An elementwise expression.
        over: ``"channel"``, ``"tensor"`` or ``"member"``. The channels of a tensor are its slices
            along the first dimension; one with fewer than two dimensions has none, and its sums
            over them are 0.
    """
    if over not in OVER:
        raise ValueError(f"over must be 'channel', 'tensor' or 'member', got {over!r}")
    if isinstance(x, sympy.Basic | int | float):
        return SumOver(x, sympy.Symbol(over))
    if not isinstance(x, Leaves):
        raise TypeError(f"a reduction needs an expression of w, g or state, got {x!r}")
    if over == "channel":
        return each(_channel_sums, x)
    sums = [v.sum() for v in x.values]
    return Leaves(tuple(sums if over == "tensor" else [sum(sums)] * len(sums)))


def mean(x: Any, *, over: str) -> Any:
    """Return the mean over a channel, a weight tensor, or all tensors of a member; 0 of nothing."""
    return total(x, over=over) / maximum(_count(x, over), 1.0)


def _count(x: Any, over: str) -> Any:
    if not isinstance(x, Leaves):
        return total(sympy.Integer(1), over=over)
    if over == "channel":
        return each(lambda v: float(v[0].numel()) if v.ndim > 1 and len(v) else 0.0, x)
    counts = [float(v.numel()) for v in x.values]
    return Leaves(tuple(counts if over == "tensor" else [sum(counts)] * len(counts)))


def _channel_sums(x: torch.Tensor) -> torch.Tensor:
    return x.sum(tuple(range(1, x.ndim)), keepdim=True) if x.ndim > 1 else x.new_zeros(())


def norm(x: Any, *, over: str) -> Any:
    """Return the Euclidean norm over a channel, a weight tensor, or all tensors of a member."""
    return sqrt(total(x * x, over=over))


def _apply(*arguments: Any, sympy: Any, torch: Any, number: Any) -> Any:
    """Choose the implementation that the arguments call for."""
    if any(isinstance(a, Leaves) for a in arguments):
        return each(lambda *row: _apply(*row, sympy=sympy, torch=torch, number=number), *arguments)
    if _any_instance(arguments, "sympy"):
        return sympy(*arguments)
    if _any_instance(arguments, "torch"):
        return torch(*_as_tensors(arguments))
    return number(*arguments)


def _any_instance(arguments: Iterable[Any], library: str) -> bool:
    kind = sympy.Basic if library == "sympy" else torch.Tensor
    return any(isinstance(a, kind) for a in arguments)


def _as_tensors(arguments: tuple[Any, ...]) -> list[torch.Tensor]:
    # Beside no floating tensor a number stays double; the reference step rounds its result.
    floating = (a.dtype for a in arguments if isinstance(a, torch.Tensor) and a.is_floating_point())
    dtype = next(floating, torch.float64)
    return [
        a
        if isinstance(a, torch.Tensor)
        else torch.tensor(a, dtype=torch.bool if isinstance(a, bool) else dtype)
        for a in arguments
    ]


def _unevaluated(function: Any) -> Any:
    return lambda *arguments: function(*map(sympy.sympify, arguments), evaluate=False)


def _piecewise(condition: Any, a: Any, b: Any) -> Any:
    if isinstance(condition, bool):
        raise TypeError("where compares values with <, <=, > or >=, not with == or !=")
    # Past the constructors: they would rewrite a condition that holds another branch.
    pairs = [
        sympy.Tuple.__new__(ExprCondPair, sympy.sympify(value), holds)
        for value, holds in ((a, condition), (b, sympy.true))
    ]
    return sympy.Basic.__new__(sympy.Piecewise, *pairs)


def _real_sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _torch_sign(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.isnan(), x, torch.sign(x))


def _real_log(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.log(x) if x > 0 else math.nan


def _number_floor(x: float) -> float:
    return float(math.floor(x)) if math.isfinite(x) else x


def _number_sign(x: float) -> float:
    return x if math.isnan(x) else float((x > 0) - (x < 0))


def _extreme(choose: Callable[..., float]) -> Callable[[float, float], float]:
    return lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else choose(a, b)
