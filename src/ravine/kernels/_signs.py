"""Which values are always positive, by interval arithmetic over a rule's bounds."""

import math
from collections.abc import Mapping
from typing import Any

import sympy
from mpmath import iv

from ravine.rules import Rule

Ranges = Mapping[str, Any]


def ranges_of(rule: Rule) -> Ranges:
    """Return the interval of ``t`` and of each hyper-parameter."""
    found = {name: iv.mpf([bounds.low, bounds.high]) for name, bounds in rule.bounds.items()}
    return found | {"t": iv.mpf([1, math.inf])}


def positive(node: sympy.Basic, ranges: Ranges) -> bool:
    """Whether an expression is above 0 wherever its symbols lie; False where that is not known.

    >>> ranges = {"beta": iv.mpf([0, 1]), "t": iv.mpf([1, math.inf])}
    >>> beta, t = sympy.symbols("beta t")
    >>> positive(1 / (1 - beta**t), ranges), positive(1 - beta, ranges)
    (True, False)
    """
    return bool(_range(node, ranges).a > 0)


def _range(node: sympy.Basic, ranges: Ranges) -> Any:
    if node.is_Number:
        return iv.mpf(float(node))
    if node.is_Symbol and str(node) in ranges:
        return ranges[str(node)]
    parts = [_range(part, ranges) for part in node.args]
    if node.is_Add:
        return sum(parts, iv.mpf(0))
    if node.is_Mul:
        return math.prod(parts, start=iv.mpf(1))
    if node.is_Pow and parts[0].a >= 0:
        return parts[0] ** parts[1]
    return iv.mpf([-math.inf, math.inf])
