"""The names that a formula's author gave to its parts: the local variables of the rule.

An expression does not hold them, so the formula is run once more and watched line by line.
"""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import sympy

from ravine.rules import Rule

# Frames of these modules hold no names of a formula, only those of its words.
_MACHINERY = ("ravine.rules._vocabulary", "ravine.rules._rule")


def authors_names(rule: Rule) -> dict[sympy.Basic, str]:
    """Return the name of each part of a formula that its author assigned to a variable.

    Where functions call each other, a name in the outer one comes first.
    """
    arrays = ("w", "g", *rule.kept)
    found: list[tuple[int, sympy.Basic, str]] = []
    depths: dict[FrameType, int] = {}

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] == "sympy" or module in _MACHINERY:
            return None
        depth = depths.setdefault(frame, len(depths))
        found.extend((depth, value, name) for value, name in _named(frame))
        return watch

    before = sys.gettrace()
    with sympy.evaluate(False):
        sys.settrace(watch)
        try:
            rule.function(
                *(sympy.Symbol(name, real=True) for name in arrays),
                **{name: sympy.Symbol(name, real=True) for name in ("t", *rule.hypers)},
            )
        finally:
            sys.settrace(before)
    names: dict[sympy.Basic, str] = {}
    for _, value, name in sorted(found, key=lambda entry: entry[0]):
        names.setdefault(value, name)
    return names


def _named(frame: FrameType) -> Iterator[tuple[sympy.Basic, str]]:
    for name, value in frame.f_locals.items():
        if isinstance(value, sympy.Expr) and value.args and name != "t":
            yield value, name
