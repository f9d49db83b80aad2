"""The derivatives of a typed expression, by autograd and by differences."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError
from ravine.gradients._expression import Expression, parse
from ravine.gradients._graph import Graph, expression_graph
from ravine.gradients._numeric import numeric_gradient

SAME = 1e-6  # relative difference of two derivatives that agree
ERRORS = 10  # times the numeric value's estimated error within which nothing can be told
Line = Callable[[Tensor], Tensor]
# Steps tried after the usual one, times the variable's size: what bends fast needs small ones.
_SMALLER = (1e-4, 1e-6, 1e-8, 1e-10)
_SHRINKING = (1e-6, 1e-7, 1e-8)  # steps of one-sided slopes, times the variable's size
_STAYS = 0.1  # relative change of a gap between slopes that stays


@dataclass(frozen=True)
class Derivative:
    """The derivative of an expression by one variable, both ways.

    Args:
        variable: Its name.
        value: Where the derivative is taken.
        analytic: By autograd.
        numeric: By differences, Richardson extrapolated.
        error: Estimated absolute error of `numeric`.
        ok: False where they disagree and no kink explains it, or `analytic` is not finite.
        note: What to know about it; empty as a rule.
    """

    variable: str
    value: float
    analytic: float
    numeric: float
    error: float
    ok: bool
    note: str

    @property
    def relative_error(self) -> float:
        """``|a - n| / max(|a|, |n|)``, 0 where both are 0."""
        size = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / size if size else 0.0


@dataclass(frozen=True)
class ExpressionCheck:
    """The result of `check_expression`.

    Args:
        expression: What was checked.
        at: Value of each variable.
        value: Of the expression.
        derivatives: One per variable.
    """

    expression: Expression
    at: Mapping[str, float]
    value: float
    derivatives: tuple[Derivative, ...]

    @property
    def ok(self) -> bool:
        """Whether every derivative is finite and agrees, kinks aside."""
        return all(one.ok for one in self.derivatives)

    def graph(self) -> Graph:
        """Return the computation graph with values and gradients."""
        return expression_graph(self.expression, **_tensors(self.expression, self.at))

    def document(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold; NaN and infinity as text."""
        rows = [asdict(d) | {"relative_error": d.relative_error} for d in self.derivatives]
        plain = [
            {k: v if not isinstance(v, float) or isfinite(v) else repr(v) for k, v in row.items()}
            for row in rows
        ]
        text = self.expression.text
        return {"ok": self.ok, "expression": text, "value": self.value, "variables": plain}


def check_expression(text: str, at: Mapping[str, float]) -> ExpressionCheck:
    """Compare the derivatives of an expression by autograd with Richardson differences, in float64.

    Args:
        text: Numbers, names, ``+ - * / **`` and functions, as `parse` reads them.
        at: Value of every variable, finite.

    Raises:
        SettingError: The text cannot be read, a value is missing, unused or not finite, or the
            expression is not finite there.

    >>> found = check_expression("(x + y) * z", {"x": -2, "y": 5, "z": -4})
    >>> found.value, [(d.variable, d.analytic, round(d.numeric, 9)) for d in found.derivatives]
    (-12.0, [('x', -4.0, -4.0), ('y', -4.0, -4.0), ('z', 3.0, 3.0)])
    """
    expression = parse(text)
    given = {name: float(value) for name, value in at.items()}
    _check_names(expression, given)
    tensors = _tensors(expression, given)
    value = _value(expression, tensors)
    found = torch.autograd.grad(value, list(tensors.values()))
    rows = [
        _derivative(expression, tensors, name, float(analytic))
        for name, analytic in zip(tensors, found, strict=True)
    ]
    return ExpressionCheck(expression, given, float(value.detach()), tuple(rows))


def _check_names(expression: Expression, at: Mapping[str, float]) -> None:
    missing = [name for name in expression.names if name not in at]
    if missing:
        raise SettingError(
            f"at must give a value of every variable of {expression.text}; {', '.join(missing)} has"
            " none"
        )
    unused = [name for name in at if name not in expression.names]
    if unused:
        raise SettingError(
            f"at gives {', '.join(unused)}, which {expression.text} does not hold; its variables"
            f" are {', '.join(expression.names)}"
        )
    for name, value in at.items():
        if not isfinite(value):
            raise SettingError(f"at: {name} must be finite, got {value}")


def _tensors(expression: Expression, at: Mapping[str, float]) -> dict[str, Tensor]:
    return {
        name: torch.tensor(at[name], dtype=torch.float64, requires_grad=True)
        for name in expression.names
    }


def _value(expression: Expression, tensors: Mapping[str, Tensor]) -> Tensor:
    culprit = expression.first_not_finite(tensors)
    if culprit is not None:
        place = ", ".join(f"{name}={x.item():g}" for name, x in tensors.items())
        raise SettingError(
            f"{culprit.text} is {culprit(tensors).item():g} at {place}; give values at which the"
            " expression is finite"
        )
    return expression(**tensors)


def _derivative(
    expression: Expression, tensors: Mapping[str, Tensor], name: str, analytic: float
) -> Derivative:
    x = tensors[name].detach()
    others = {other: one.detach() for other, one in tensors.items()}

    def along(moved: Tensor) -> Tensor:
        return expression(**{**others, name: moved})

    numeric, error = _numeric(along, x, analytic)
    note, ok = _verdict(along, x, analytic, numeric, error)
    return Derivative(name, float(x), analytic, numeric, error, ok, note)


def _numeric(f: Line, x: Tensor, analytic: float) -> tuple[float, float]:
    """Return derivative and error with the first step at which it agrees, else the surest one's."""
    steps: list[float | str] = ["auto", *(share * _size(x) for share in _SMALLER)]
    tried = []
    for step in steps:
        tried.append(_slope(f, x, "richardson", step))
        if _near(analytic, tried[-1][0], 0.0):
            return tried[-1]
    return min(tried, key=lambda found: found[1] if isfinite(found[1]) else inf)


def _size(x: Tensor) -> float:
    return float(x.abs()) or 1.0


def _slope(f: Line, x: Tensor, method: str, step: float | str = "auto") -> tuple[float, float]:
    found = numeric_gradient(f, x, method, step)
    return float(found.values), float(found.errors)


def _near(analytic: float, numeric: float, error: float) -> bool:
    size = max(abs(analytic), abs(numeric))
    return abs(analytic - numeric) <= max(SAME * size, ERRORS * error)


def _verdict(f: Line, x: Tensor, analytic: float, numeric: float, error: float) -> tuple[str, bool]:
    """Return what to know about two derivatives, and whether they are fine."""
    if not isfinite(analytic):
        return "the derivative is not finite here", False
    if not isfinite(numeric):
        return "the expression is not finite beside this point: nothing to compare with", False
    sides = _kink(f, x)
    if sides is not None and _between(*sides, analytic):
        left, right = sides
        return f"kink: the slope is {left:.6g} on the left and {right:.6g} on the right", True
    if _near(analytic, numeric, 0.0):
        return "", True
    if _near(analytic, numeric, error):
        return "precision: they differ by less than the numeric value's own error", True
    return "autograd and differences disagree", False


def _between(left: float, right: float, analytic: float) -> bool:
    slack = SAME * max(abs(left), abs(right))
    return min(left, right) - slack <= analytic <= max(left, right) + slack


def _kink(f: Line, x: Tensor) -> tuple[float, float] | None:
    """Return the slopes on both sides where they stay apart as the step shrinks."""
    found = [_sides(f, x, share * _size(x)) for share in _SHRINKING]
    gaps = [right - left for left, right, _ in found]
    blurred = any(abs(gap) <= blur for gap, (*_, blur) in zip(gaps, found, strict=True))
    # Where a smooth line bends, the gap shrinks as the step does.
    if blurred or not all(abs(gap - gaps[0]) < _STAYS * abs(gaps[0]) for gap in gaps):
        return None
    return found[-1][0], found[-1][1]


def _sides(f: Line, x: Tensor, step: float) -> tuple[float, float, float]:
    """Return the slopes on the left and on the right, and how well they are known."""
    right, error_right = _slope(f, x, "forward", step)
    mirrored, error_left = _slope(lambda moved: f(2 * x - moved), x, "forward", step)
    return 0.0 - mirrored, right, ERRORS * (error_right + error_left)
