"""Tracing: the formula called with SymPy symbols.

Evaluation is switched off while tracing, so the expression is the formula exactly as written:
SymPy would otherwise reorder sums and products, and a kernel should round as its author meant.
"""

from dataclasses import dataclass
from functools import lru_cache

import sympy

from ravine.core.errors import SettingError
from ravine.rules._rule import RESERVED, Rule


@dataclass(frozen=True, eq=False)
class Trace:
    """The expression of a rule.

    Args:
        arrays: Names of what has one entry per weight: ``w``, ``g`` and the states.
        numbers: Names of what has one value per step: ``t`` and the hyper-parameters.
        results: New value of ``w`` and of each state, in order.
    """

    arrays: tuple[str, ...]
    numbers: tuple[str, ...]
    results: dict[str, sympy.Expr]


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
                *(sympy.Symbol(name, real=True) for name in arrays),
                **{name: sympy.Symbol(name, real=True) for name in numbers},
            )
    except Exception as error:
        raise SettingError(
            f"rule {rule.name}: the formula cannot be traced ({type(error).__name__}: {error});"
            " use sqrt, where, maximum, norm, ... of ravine.rules, and no Python branches on values"
        ) from error
    if len(new) != 1 + len(rule.state):
        raise SettingError(
            f"rule {rule.name}: the formula must return w and its states"
            f" ({', '.join(('w', *rule.state))}), got {len(new)} values"
        )
    results = dict(zip(("w", *rule.state), map(sympy.sympify, new), strict=True))
    return Trace(arrays, numbers, results)
