"""Tracing: the formula called with SymPy symbols.

Evaluation is switched off while tracing, so the expression is the formula exactly as written:
SymPy would otherwise reorder sums and products, and a kernel should round as its author meant.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import BooleanAtom

from ravine.core.errors import SettingError
from ravine.rules._rule import Rule
from ravine.rules._signature import RESERVED
from ravine.rules._vocabulary import SumOver

# What a formula's expression may hold; the kernels have code for each of them.
_KNOWN = (
    *(sympy.Symbol, sympy.Float, sympy.Rational, sympy.Add, sympy.Mul, sympy.Pow),
    *(sympy.Piecewise, ExprCondPair, Relational, BooleanAtom),
    *(sympy.Max, sympy.Min, sympy.Abs, sympy.exp, sympy.floor, sympy.log, sympy.sign, SumOver),
)


@dataclass(frozen=True, eq=False)
class Trace:
    """The expression of a rule.

    Args:
        arrays: Names of what has one entry per weight: ``w``, ``g`` and the states.
        numbers: Names of what has one value per step: ``t`` and the hyper-parameters.
        results: New value of ``w`` and of each state, in order.
        scalars: New value of each scalar, in order.
    """

    arrays: tuple[str, ...]
    numbers: tuple[str, ...]
    results: dict[str, sympy.Expr]
    scalars: dict[str, sympy.Expr]


@lru_cache(maxsize=256)
def trace(rule: Rule) -> Trace:
    """Return the expression of a rule.

    Raises:
        SettingError: When the formula fails, branches in Python, or returns the wrong number of
            values.
    """
    arrays = (*RESERVED[:2], *rule.state)
    numbers = ("t", *rule.hypers)
    try:
        with sympy.evaluate(False):
            new = rule.function(
                *(sympy.Symbol(name, real=True) for name in (*arrays, *rule.scalars)),
                **{name: sympy.Symbol(name, real=True) for name in numbers},
            )
    except Exception as error:
        raise SettingError(
            f"rule {rule.name}: the formula cannot be traced ({type(error).__name__}: {error});"
            " use sqrt, where, maximum, norm, ... of ravine.rules, and no Python branches on values"
        ) from error
    names = ("w", *rule.kept)
    if len(new) != len(names):
        raise SettingError(
            f"rule {rule.name}: the formula must return w and its states"
            f" ({', '.join(names)}), got {len(new)} values"
        )
    results = dict(zip(names, map(sympy.sympify, new), strict=True))
    _refuse_unknown(rule, results.values())
    scalars = {name: results.pop(name) for name in rule.scalars}
    for name, value in scalars.items():
        if varies(value, arrays):
            raise SettingError(
                f"rule {rule.name}: scalar {name} must be one number, but its new value differs"
                " from weight to weight; reduce it with total, mean or norm"
            )
    return Trace(arrays, numbers, results, scalars)


def varies(node: sympy.Basic, arrays: Iterable[str]) -> bool:
    """Whether a value differs from weight to weight; a reduction does not."""
    if isinstance(node, SumOver):
        return False
    if node.is_Symbol:
        return str(node) in arrays
    return any(varies(part, arrays) for part in node.args)


def _refuse_unknown(rule: Rule, results: Iterable[Any]) -> None:
    """Refuse what kernels have no code for."""
    todo = list(results)
    seen, booleans = set(todo), [v for v in todo if not isinstance(v, sympy.Expr)]
    while todo:
        node = todo.pop()
        if not isinstance(node, _KNOWN) or node in booleans:
            raise SettingError(
                f"rule {rule.name}: {type(node).__name__} is not part of a formula; use + - * / **"
                " and sqrt, where, maximum, norm, ... of ravine.rules"
            )
        new = set(node.args) - seen
        seen |= new
        todo.extend(new)
