"""Expressions taken apart and put together again, each shared part once.

SymPy's own traversals walk a tree: for a formula whose parts stand in several places they would
take exponential time. Its constructors would rewrite a branch, so they are gone past.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import sympy
from sympy.functions.elementary.piecewise import ExprCondPair

from ravine.rules._vocabulary import SumOver

_RAW = {ExprCondPair: sympy.Tuple, sympy.Piecewise: sympy.Basic}


def rebuilt(node: sympy.Basic, parts: Iterable[sympy.Basic]) -> sympy.Basic:
    """Return a node of the same kind over other parts."""
    if type(node) in _RAW:
        return _RAW[type(node)].__new__(type(node), *parts)
    return node.func(*parts, evaluate=False) if _is_extreme(node) else node.func(*parts)


def replaced(
    node: sympy.Basic,
    by: Mapping[sympy.Basic, sympy.Basic],
    done: dict[sympy.Basic, sympy.Basic] | None = None,
) -> sympy.Basic:
    """Return an expression with parts replaced, the outermost first."""
    done = {} if done is None else done
    if node in by:
        return by[node]
    if node not in done:
        parts = [replaced(part, by, done) for part in node.args]
        same = all(new is old for new, old in zip(parts, node.args, strict=True))
        done[node] = node if same else rebuilt(node, parts)
    return done[node]


def nodes(values: Iterable[sympy.Basic]) -> Iterator[sympy.Basic]:
    """Yield every part of some expressions once, the expressions themselves first."""
    todo = list(values)
    seen = set(todo)
    while todo:
        node = todo.pop()
        yield node
        new = set(node.args) - seen
        seen |= new
        todo.extend(new)


def uses(values: Iterable[sympy.Basic]) -> Counter[sympy.Basic]:
    """Count in how many places each part stands."""
    values = list(values)
    counts = Counter(values)
    for node in nodes(values):
        counts.update(node.args)
    return counts


def size(node: sympy.Basic, known: dict[sympy.Basic, int] | None = None) -> int:
    """Return the number of operations that are written in an expression; a norm counts as one."""
    known = {} if known is None else known
    if node not in known:
        parts = () if normed(node) else node.args
        known[node] = sum(size(part, known) for part in parts) + bool(node.args)
    return known[node]


def normed(node: sympy.Basic) -> sympy.Basic | None:
    """Return what a node is the Euclidean norm of, if it is one."""
    if node.is_Pow and node.exp == sympy.S.Half and isinstance(node.base, SumOver):
        x = node.base.args[0]
        if x.is_Mul and len(x.args) == 2 and x.args[0] == x.args[1]:
            return x.args[0]
    return None


def averaged(node: sympy.Basic) -> SumOver | None:
    """Return the sum that a node divides by its number of terms, if it is a mean."""
    if not (node.is_Mul and len(node.args) == 2 and isinstance(node.args[0], SumOver)):
        return None
    found, over = node.args
    counted = SumOver(sympy.S.One, found.args[1])
    by_count = over.is_Pow and over.exp == -1 and isinstance(over.base, sympy.Max)
    return found if by_count and counted in over.base.args else None


def signs_apart(
    node: sympy.Basic, done: dict[sympy.Basic, sympy.Basic] | None = None
) -> sympy.Basic:
    """Return an expression with ``-(a b)`` as ``-1`` times what stands elsewhere as ``a b``."""
    done = {} if done is None else done
    if node not in done:
        parts = [signs_apart(part, done) for part in node.args]
        if node.is_Mul and len(parts) > 2 and parts[0] == -1:
            parts = [parts[0], sympy.Mul(*parts[1:], evaluate=False)]
        done[node] = rebuilt(node, parts) if parts else node
    return done[node]


def settled(
    node: sympy.Basic,
    done: dict[sympy.Basic, sympy.Basic],
    before: dict[sympy.Basic, sympy.Basic],
) -> sympy.Basic:
    """Return an expression without questions that an outer branch has answered already.

    In ``where(x > 0, y / where(x > 0, x, 1), 1)`` the inner branch only keeps code from dividing
    by 0.

    Args:
        node: The expression.
        done: What is known of other expressions; it grows.
        before: What each part that changes was before; it grows.
    """
    if node not in done:
        parts = [settled(part, done, before) for part in node.args]
        if isinstance(node, sympy.Piecewise):
            value, condition = parts[0].args
            changed: dict[sympy.Basic, sympy.Basic] = {}
            value = replaced(value, dict(_answers(condition, value)), changed)
            before.update((new, old) for old, new in changed.items() if new is not old)
            parts[0] = rebuilt(parts[0], (value, condition))
        done[node] = rebuilt(node, parts) if parts else node
    return done[node]


def _answers(
    condition: sympy.Basic, inside: sympy.Basic
) -> Iterator[tuple[sympy.Basic, sympy.Basic]]:
    for node in nodes([inside]):
        if isinstance(node, sympy.Piecewise) and node.args[0].args[1] == condition:
            yield node, node.args[0].args[0]
        is_above = isinstance(node, sympy.Max) and isinstance(condition, sympy.StrictGreaterThan)
        if is_above and set(node.args) == set(condition.args):
            yield node, condition.lhs


def cases(node: sympy.Piecewise) -> list[tuple[sympy.Basic, tuple[sympy.Basic, ...]]]:
    """Return the values of a branch with the conditions of each; the last has none.

    A branch in the other case makes further cases, one in the first case a further condition
    where both have the same other value.
    """
    (value, condition), (other, _) = node.args
    conditions = [condition]
    while isinstance(value, sympy.Piecewise) and value.args[1].args[0] == other:
        value, condition = value.args[0].args
        conditions.append(condition)
    rest = cases(other) if isinstance(other, sympy.Piecewise) else [(other, ())]
    return [(value, tuple(conditions)), *rest]


def _is_extreme(node: sympy.Basic) -> bool:
    return isinstance(node, sympy.Max | sympy.Min)
