"""How far rounding alone can move a formula's result: a running error analysis.

Evaluates a traced expression in float64 and carries, for every entry, a first-order bound on the
error that arithmetic with a given unit roundoff commits: half a unit in the last place for every
operation and every constant (Higham 2002, Accuracy and Stability of Numerical Algorithms, 3.3).
The bound holds for any order of the factors of a product and with fused multiply-add.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sympy
from ravine.rules import Rule, trace

# Unit roundoff by dtype; and twice the first-order bound, to cover what it leaves out.
UNIT = {np.dtype("float32"): 2.0**-24, np.dtype("float64"): 2.0**-53}
MARGIN = 2.0


class Bounded(NamedTuple):
    """A value per tensor with a bound on its error."""

    value: list[np.ndarray]
    error: list[np.ndarray]


def bounded_step(
    rule: Rule,
    arrays: Mapping[str, Sequence[np.ndarray]],
    rows: Sequence[Mapping[str, float]],
    step: int,
) -> dict[str, Bounded]:
    """Return the exact results of a step from given arrays, with bounds on rounding.

    Args:
        rule: The rule.
        arrays: ``w``, ``g`` and the states: one array per tensor, taken as exact.
        rows: Hyper-parameters per tensor.
        step: Number of the step.
    """
    unit = UNIT[arrays["w"][0].dtype]
    known = {n: [a.astype(np.float64) for a in column] for n, column in arrays.items()}
    exact = {n: Bounded(c, [np.zeros_like(a) for a in c]) for n, c in known.items()}
    for n in rows[0]:
        column = [np.array(row[n]) for row in rows]
        exact[n] = Bounded(column, [unit * abs(v) for v in column])
    count = len(rows)
    exact["t"] = Bounded([np.array(float(step))] * count, [np.array(0.0)] * count)
    evaluate = _Evaluator(exact, unit, count)
    results = {n: evaluate(node) for n, node in trace(rule).results.items()}
    return {n: Bounded(r.value, [MARGIN * e for e in r.error]) for n, r in results.items()}


class _Evaluator:
    def __init__(self, symbols: dict[str, Bounded], unit: float, count: int):
        self.symbols, self.unit, self.count = symbols, unit, count
        self.memo: dict[sympy.Basic, Bounded] = {}

    def __call__(self, node: sympy.Basic) -> Bounded:
        if node not in self.memo:
            self.memo[node] = self._evaluate(node)
        return self.memo[node]

    def _evaluate(self, node: sympy.Basic) -> Bounded:
        if node.is_Symbol:
            return self.symbols[str(node)]
        if isinstance(node, sympy.Number):
            value = np.array(float(node))
            return Bounded([value] * self.count, [self.unit * abs(value)] * self.count)
        if isinstance(node, sympy.Piecewise):
            return self._choose(node)
        if type(node).__name__ == "SumOver":
            return self._sum(*node.args)
        return self._operate(node, [self(a) for a in node.args])

    def _operate(self, node: sympy.Basic, parts: list[Bounded]) -> Bounded:
        """Fold an operation over its arguments, tensor by tensor."""
        value, error = list(parts[0].value), list(parts[0].error)
        for i in range(self.count):
            if len(parts) == 1:
                value[i], error[i] = self._one(node, value[i], error[i])
            for part in parts[1:]:
                value[i], error[i] = self._two(node, value[i], error[i], part.value[i], part.error[i])
        return Bounded(value, error)

    def _one(self, node, x, ex):
        if isinstance(node, sympy.exp):
            return np.exp(x), np.exp(x) * (ex + self.unit * 4)  # 4: of a library's exp
        return {sympy.Abs: np.abs, sympy.sign: np.sign}[type(node)](x), ex

    def _two(self, node, x, ex, y, ey):
        if isinstance(node, sympy.Max | sympy.Min):
            function = np.maximum if isinstance(node, sympy.Max) else np.minimum
            return function(x, y), np.maximum(ex, ey)
        if node.is_Add:
            return x + y, ex + ey + self.unit * abs(x + y)
        if node.is_Mul:
            return x * y, abs(x) * ey + abs(y) * ex + self.unit * abs(x * y)
        return self._power(x, ex, y, float(np.max(ey)) > 0)

    def _power(self, x, ex, y, rounded):
        value = x**y
        if np.all(y == 0.5):  # a root: sqrt(x + ex) - sqrt(x), which also holds at x = 0
            return value, np.sqrt(x + ex) - value + self.unit * value
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = abs(y) * np.where(ex > 0, ex / abs(x), 0.0)
        del rounded  # an exponent is a small integer or t, both exact
        return value, abs(value) * (relative + self.unit * np.maximum(abs(y), 1))

    def _choose(self, node: sympy.Piecewise) -> Bounded:
        (a, condition), (b, _) = node.args
        left, right = self(condition.lhs), self(condition.rhs)
        compare = {"StrictGreaterThan": np.greater, "StrictLessThan": np.less}
        chosen = compare[type(condition).__name__]
        masks = [chosen(x, y) for x, y in zip(left.value, right.value, strict=True)]
        pick = lambda p, q: [np.where(m, x, y) for m, x, y in zip(masks, p, q, strict=True)]  # noqa: E731
        return Bounded(pick(self(a).value, self(b).value), pick(self(a).error, self(b).error))

    def _sum(self, x: sympy.Basic, over: sympy.Basic) -> Bounded:
        part = self(x)
        value = [np.sum(v) for v in part.value]
        # A sum of n terms in any order of pairwise blocks: log2(n) roundings, blocks of up to 16.
        depth = 16 + np.log2(max(v.size for v in part.value) + 1)
        error = [
            np.sum(e) + depth * self.unit * np.sum(abs(v))
            for v, e in zip(part.value, part.error, strict=True)
        ]
        if str(over) == "member":
            value, error = [np.sum(value)] * self.count, [np.sum(error)] * self.count
        return Bounded(value, error)
