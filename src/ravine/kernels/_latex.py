r"""A rule's formula as LaTeX, from the same expression that the kernel is compiled from.

What textbooks give a line of its own gets one: bias-corrected states (``\hat{m}_t``), branches,
and what stands in several places or would make a line long. These parts have the names that the
formula's author gave them: a gradient that is modified before it is used is ``\tilde{g}_t``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count

import sympy

from ravine.kernels._latex_names import authors_names
from ravine.kernels._latex_trees import nodes, replaced, settled, signs_apart, size, uses
from ravine.kernels._latex_words import Words
from ravine.rules import Rule, trace

# Letters for parts of a formula that have no name.
_LETTERS = "dehknpqsxyz"

# Number of operations from which a part makes the line it stands in hard to read.
_LONG = 6


def latex(rule: Rule) -> dict[str, str]:
    r"""Return the new value of each state and of the weights as LaTeX, in order of computation.

    Args:
        rule: The rule, modifiers included.

    Returns:
        A line per state and scalar that changes, and for ``w``; before them a line per part with
        a name and per number that a state starts at.

    >>> from ravine.rules import get_rule
    >>> latex(get_rule("momentum", "lecture"))["v"]
    'v_t = \\gamma v_{t-1} + \\eta g_t'
    """
    return dict(_written(rule).printed)


def symbols(rule: Rule) -> dict[str, str]:
    """Return how each name in a rule's formula is written.

    Returns:
        LaTeX per hyper-parameter, state, scalar and named part.
    """
    written = _written(rule)
    hypers = {name: written.words.hyper(name) for name in rule.hypers}
    kept = {name: written.words.kept(name) for name in rule.kept}
    parts = {name: line.split(" = ")[0] for name, line in written.printed.items()}
    return hypers | kept | parts


def _written(rule: Rule) -> "_Lines":
    traced = trace(rule)
    with sympy.evaluate(False):
        lines = _Lines(Words(rule))
        results = {k: signs_apart(v) for k, v in {**traced.results, **traced.scalars}.items()}
        known: dict[sympy.Basic, sympy.Basic] = {}
        for node, (name, value) in _starts(results, rule.kept).items():
            known[node] = sympy.Symbol(name, real=True)
            left = lines.words.start(name)
            lines.printed[f"{name}_0"] = f"{left} = {lines.words.latex(value)}"
        order = [n for n in _in_order(results, rule.kept) if not lines.words.is_constant(n)]
        values = _chained(results, order, known, lines.words)
        names: dict[sympy.Basic, str] = {}
        for node, name in authors_names(rule).items():
            names.setdefault(replaced(signs_apart(node), known), name)
        lines.add_all(values, names)
    return lines


def _starts(
    results: Mapping[str, sympy.Basic], kept: Iterable[str]
) -> dict[sympy.Basic, tuple[str, sympy.Basic]]:
    """Return the branches that do no more than to set where a state starts, with that value."""
    found = {}
    counts = uses(results.values())
    first = sympy.Symbol("t", real=True) > 1
    states = {sympy.Symbol(name, real=True): name for name in kept}
    for node in counts:
        if isinstance(node, sympy.Piecewise):
            (state, condition), (start, _) = node.args
            if condition == first and state in states and counts[state] == 1:
                found[node] = states[state], start
    return found


def _in_order(results: Mapping[str, sympy.Basic], kept: Iterable[str]) -> Iterator[str]:
    """Yield the names of results, each after those that it is made of."""
    parts = {name: set(nodes([value])) for name, value in results.items()}
    done: set[str] = set()

    def after_its_parts(name: str) -> Iterator[str]:
        if name not in done:
            done.add(name)
            for other in (*kept, "w"):
                if results[other].args and results[other] in parts[name]:
                    yield from after_its_parts(other)
            yield name

    for name in (*kept, "w"):
        yield from after_its_parts(name)


def _chained(
    results: Mapping[str, sympy.Basic],
    order: Iterable[str],
    known: dict[sympy.Basic, sympy.Basic],
    words: Words,
) -> dict[str, sympy.Basic]:
    """Return the results with each state's new value written as ``v_t`` after its own line."""
    chained = {}
    for name in order:
        chained[name] = replaced(results[name], known)
        if results[name].args:
            known[results[name]] = words.now(name)
    return chained


@dataclass
class _Lines:
    """The lines of a formula, each part before the first line that needs it.

    Args:
        words: The formula's symbols.
        printed: LaTeX of each line.
        values: Left and right side of each line, as expressions.
    """

    words: Words
    printed: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[sympy.Symbol, sympy.Basic]] = field(default_factory=dict)
    _parts: dict[sympy.Basic, tuple[str, sympy.Symbol]] = field(default_factory=dict)

    def add_all(self, values: Mapping[str, sympy.Basic], names: dict[sympy.Basic, str]) -> None:
        """Print a line per value, with the author's names, by expression, for its parts."""
        done: dict[sympy.Basic, sympy.Basic] = {}
        before: dict[sympy.Basic, sympy.Basic] = {}
        clear = {name: settled(value, done, before) for name, value in values.items()}
        for node, name in list(names.items()):
            names.setdefault(settled(node, done, before), name)
        for new, old in before.items():
            if old in names:
                names.setdefault(new, names[old])
        self._name_parts(list(clear.values()), names)
        for name, value in clear.items():
            self._add(name, self.words.now(name), value)

    def _name_parts(self, values: list[sympy.Basic], names: Mapping[sympy.Basic, str]) -> None:
        counts, flat = uses(values), _flat_uses(values)
        sizes: dict[sympy.Basic, int] = {}
        for node in values:
            counts[node] -= 1
        wanted = [
            node
            for node, often in counts.items()
            if isinstance(node, sympy.Expr)
            and node.args
            and self._is_part(node, often - flat[node], size(node, sizes), names.get(node, ""))
        ]
        spare = chain(_LETTERS, (f"p{i}" for i in count(1)))
        letters = (letter for letter in spare if not self.words.is_taken(letter))
        for node in sorted(wanted, key=lambda node: sizes[node]):
            name = self.words.free(names.get(node) or self._natural(node)) or next(letters)
            self._parts[node] = name, self.words.part(name, node)

    def _is_part(self, node: sympy.Expr, often: int, operations: int, name: str) -> bool:
        if often < 1:
            return False
        if isinstance(node, sympy.Piecewise) or name.endswith("_hat") or self._corrected(node):
            return True
        if operations >= _LONG and (often > 1 or name):
            return True
        # Of numbers that are one per step only those with a name: `1 - beta` is read at a glance.
        return often > 1 and operations > 1 and (bool(name) or self.words.is_per_weight(node))

    def _natural(self, node: sympy.Expr) -> str:
        """Return the name of a part by what it is, if it is a well-known thing."""
        if (state := self._corrected(node)) is not None:
            return f"{state}_hat"
        if isinstance(node, sympy.Piecewise) and node.args[0].args[0].is_Symbol:
            return f"{self.words.name(node.args[0].args[0])}_bar"
        return ""

    def _add(self, name: str, left: sympy.Symbol, value: sympy.Basic) -> None:
        """Print a line, and before it the lines of the parts that it is made of."""
        inner = {node: self._parts[node] for node in _outermost(value, self._parts)}
        for node, (part, its_symbol) in inner.items():
            if part not in self.printed:
                self._add(part, its_symbol, node)
        right = replaced(value, {node: its_symbol for node, (_, its_symbol) in inner.items()})
        self.values[name] = left, right
        self.printed[name] = f"{self.words.latex(left)} = {self.words.latex(right)}"

    def _corrected(self, node: sympy.Basic) -> str | None:
        """Return the state that a node divides by a number depending on t, if it is that."""
        if not (node.is_Mul and len(node.args) == 2):
            return None
        state, factor = self.words.state_of(node.args[0]), node.args[1]
        by_time = factor.is_Pow and factor.exp == -1 and self.words.is_by_time(factor.base)
        return state if by_time else None


def _flat_uses(values: Iterable[sympy.Basic]) -> Counter[sympy.Basic]:
    """Count where a branch stands in another one as further cases of it."""
    found: Counter[sympy.Basic] = Counter()
    for node in nodes(values):
        if isinstance(node, sympy.Piecewise):
            (value, _), (other, _) = node.args
            found[other] += isinstance(other, sympy.Piecewise)
            found[value] += isinstance(value, sympy.Piecewise) and value.args[1].args[0] == other
    return found


def _outermost(value: sympy.Basic, wanted: Iterable[sympy.Basic]) -> Iterator[sympy.Basic]:
    """Yield the wanted nodes strictly inside a value that lie in no other wanted node."""
    for node in value.args:
        if node in wanted:
            yield node
        else:
            yield from _outermost(node, wanted)
