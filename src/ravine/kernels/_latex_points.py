"""The points beside the stored weights that a rule needs, as LaTeX.

They are where a second gradient is taken, and which weights are evaluated.
"""

from typing import Any

import sympy

from ravine.kernels._latex_trees import replaced
from ravine.kernels._latex_words import Words
from ravine.rules import Rule


def latex_ascent(rule: Rule) -> str:
    """Return the point at which a rule's second gradient is taken; empty where there is none."""
    if rule.ascent is None:
        return ""
    return _printed(rule, Words(rule), rule.ascent, ("w", "g"), {})


def latex_readout(rule: Rule) -> str:
    """Return the weights to evaluate; empty where they are the stored ones."""
    if rule.readout is None:
        return ""
    words = Words(rule)
    arrays = ("w", *rule.kept)
    now: dict[Any, Any] = {sympy.Symbol(name, real=True): words.now(name) for name in arrays}
    return _printed(rule, words, rule.readout, arrays, now)


def _printed(
    rule: Rule, words: Words, function: Any, arrays: tuple[str, ...], now: dict[Any, Any]
) -> str:
    with sympy.evaluate(False):
        value = function(
            *(sympy.Symbol(name, real=True) for name in arrays),
            **{name: sympy.Symbol(name, real=True) for name in ("t", *rule.hypers)},
        )
        return words.latex(replaced(value, now))
