r"""A rule's formula as LaTeX, from the same expression that the kernel is compiled from.

What textbooks give a line of its own gets one: bias-corrected states (``\hat{m}_t``) and what
stands in several places (``\tilde{g}_t``, the gradient as modified, or ``d_t``).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import sympy

from ravine.kernels._latex_words import Words
from ravine.rules import Rule, trace

# Letters for parts of a formula that stand in several places.
_LETTERS = "dehknpqsxyz"


def latex(rule: Rule) -> dict[str, str]:
    r"""Return the new value of each state and of the weights as LaTeX, in order of computation.

    Args:
        rule: The rule, modifiers included.

    Returns:
        A line per state and for ``w``; before them a line per part that has a name of its own.

    >>> from ravine.rules import get_rule
    >>> latex(get_rule("momentum", "lecture"))["v"]
    'v_t = \\gamma v_{t-1} + \\eta g_t'
    """
    traced = trace(rule)
    with sympy.evaluate(False):
        lines = _Lines(Words(rule.state))
        values = _chained(traced.results, rule.state, lines.words)
        lines.name_parts(values.values())
        for name in (*rule.state, "w"):
            lines.add(name, lines.words.now(name), values[name])
    return lines.printed


def _chained(
    results: dict[str, sympy.Expr], states: tuple[str, ...], words: Words
) -> dict[str, sympy.Expr]:
    """Return the results with each state's new value written as ``v_t`` after its own line."""
    known: dict[sympy.Basic, sympy.Basic] = {}
    chained = {}
    for name in (*states, "w"):
        chained[name] = results[name].xreplace(known)
        if results[name].args:
            known[results[name]] = words.now(name)
    return chained


@dataclass
class _Lines:
    """The lines of a formula, each part before the first line that needs it."""

    words: Words
    printed: dict[str, str] = field(default_factory=dict)
    _parts: dict[sympy.Basic, tuple[str, sympy.Symbol]] = field(default_factory=dict)

    def name_parts(self, values: Iterable[sympy.Expr]) -> None:
        """Find the parts of the new values that get lines of their own."""
        values = list(values)
        uses = _uses(values)
        repeated = [node for node, count in uses.items() if count > 1 and self._is_worth(node)]
        letters = (letter for letter in _LETTERS if not self.words.is_taken(letter))
        for node in sorted(repeated, key=_size):
            if not self.words.has_state(node) and "g_tilde" not in dict(self._parts.values()):
                self._parts[node] = "g_tilde", self.words.accented("tilde", "g")
            elif letter := next(letters, None):
                self._parts[node] = letter, self.words.now(letter)
        for node in uses:
            if (state := self._corrected(node)) is not None:
                self._parts[node] = f"{state}_hat", self.words.accented("hat", state)

    def add(self, name: str, left: sympy.Symbol, value: sympy.Basic) -> None:
        """Print a line, and before it the lines of the parts that it is made of."""
        inner = {node: self._parts[node] for node in _outermost(value, self._parts)}
        for node, (part, its_symbol) in inner.items():
            if part not in self.printed:
                self.add(part, its_symbol, node)
        right = value.xreplace({node: its_symbol for node, (_, its_symbol) in inner.items()})
        self.printed[name] = f"{self.words.latex(left)} = {self.words.latex(right)}"

    def _is_worth(self, node: sympy.Basic) -> bool:
        return isinstance(node, sympy.Expr) and _size(node) > 1 and self.words.is_per_weight(node)

    def _corrected(self, node: sympy.Basic) -> str | None:
        """Return the state that a node divides by a number depending on t, if it is that."""
        if not (node.is_Mul and len(node.args) == 2):
            return None
        state, factor = self.words.state_of(node.args[0]), node.args[1]
        by_time = factor.is_Pow and factor.exp == -1 and self.words.is_by_time(factor.base)
        return state if by_time else None


def _uses(values: Iterable[sympy.Basic]) -> Counter[sympy.Basic]:
    """Count in how many places each sub-expression stands."""
    todo = list(values)
    uses, seen = Counter(todo), set(todo)
    while todo:
        node = todo.pop()
        uses.update(node.args)
        todo.extend(set(node.args) - seen)
        seen.update(node.args)
    return uses


def _size(node: sympy.Basic) -> int:
    """Return the number of operations written in an expression."""
    return sum(1 for part in sympy.preorder_traversal(node) if part.args)


def _outermost(value: sympy.Basic, wanted: Iterable[sympy.Basic]) -> Iterator[sympy.Basic]:
    """Yield the wanted nodes strictly inside a value that lie in no other wanted node."""
    for node in value.args:
        if node in wanted:
            yield node
        else:
            yield from _outermost(node, wanted)
