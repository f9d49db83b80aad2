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
        rows: Hyper-parameters per tensor, and scalars if the rule has any.
        step: Number of the step.
    """
    unit = UNIT[arrays["w"][0].dtype]
    known = {
        n: [a.astype(np.float64) for a in c] for n, c in arrays.items() if n not in rule.scalars
    }
    exact = {n: Bounded(c, [np.zeros_like(a) for a in c]) for n, c in known.items()}
    count, zero = len(rows), np.array(0.0)
    for n in rows[0]:
        exact[n] = Bounded([np.array(row[n]) for row in rows], [zero] * count)
    exact["t"] = Bounded([np.array(float(step))] * count, [zero] * count)
    for n in rule.scalars:
        exact[n] = Bounded(list(arrays[n]), [zero] * count)
    evaluate = _Evaluator(exact, frozenset(known), unit, count)
    traced = trace(rule)
    results = {n: evaluate(node) for n, node in (traced.results | traced.scalars).items()}
    return {n: Bounded(r.value, [MARGIN * e for e in r.error]) for n, r in results.items()}


class _Evaluator:
    """Numbers per step are exact but for one rounding, where they meet an array."""

    def __init__(
        self, symbols: dict[str, Bounded], arrays: frozenset[str], unit: float, count: int
    ):
        self.symbols, self.arrays, self.unit, self.count = symbols, arrays, unit, count
        self.memo: dict[sympy.Basic, Bounded] = {}

    def __call__(self, node: sympy.Basic) -> Bounded:
        if node not in self.memo:
            self.memo[node] = self._evaluate(node)
        return self.memo[node]

    def _evaluate(self, node: sympy.Basic) -> Bounded:
        if node.is_Symbol:
            return self.symbols[str(node)]
        if isinstance(node, sympy.Number):
            return Bounded([np.array(float(node))] * self.count, [np.array(0.0)] * self.count)
        if isinstance(node, sympy.Piecewise):
            return self._choose(node)
        if type(node).__name__ == "SumOver":
            return self._sum(*node.args)
        if self._per_weight(node):
            return self._operate(node, [self._rounded(a) for a in node.args], self.unit)
        return self._operate(node, [self(a) for a in node.args], 0.0)

    def _per_weight(self, node: sympy.Basic) -> bool:
        if type(node).__name__ == "SumOver":
            return False
        return str(node) in self.arrays or any(map(self._per_weight, node.args))

    def _rounded(self, node: sympy.Basic) -> Bounded:
        found = self(node)
        if self._per_weight(node) or isinstance(node, sympy.Integer | sympy.Rational):
            return found
        moved = [e + self.unit * abs(v) for v, e in zip(*found, strict=True)]
        return Bounded(found.value, moved)

    def _operate(self, node: sympy.Basic, parts: list[Bounded], unit: float) -> Bounded:
        """Fold an operation over its arguments, tensor by tensor."""
        value, error = list(parts[0].value), list(parts[0].error)
        for i in range(self.count):
            if len(parts) == 1:
                value[i], error[i] = _one(node, value[i], error[i], unit)
            for part in parts[1:]:
                x = value[i], error[i]
                value[i], error[i] = _two(node, *x, part.value[i], part.error[i], unit)
        return Bounded(value, error)

    def _choose(self, node: sympy.Piecewise) -> Bounded:
        (a, condition), (b, _) = node.args
        left, right = self(condition.lhs), self(condition.rhs)
        compare = {"StrictGreaterThan": np.greater, "StrictLessThan": np.less}
        chosen = compare[type(condition).__name__]
        masks = [chosen(x, y) for x, y in zip(left.value, right.value, strict=True)]
        pick = lambda p, q: [np.where(m, x, y) for m, x, y in zip(masks, p, q, strict=True)]  # noqa: E731
        errors = self._rounded(a).error, self._rounded(b).error
        return Bounded(pick(self(a).value, self(b).value), pick(*errors))

    def _channel_sum(self, part: Bounded) -> Bounded:
        value = [_channel_sums(v) for v in part.value]
        depth = 16 + np.log2(max(v.size for v in part.value) + 1)
        error = [
            _channel_sums(e) + depth * self.unit * _channel_sums(abs(v))
            for v, e in zip(part.value, part.error, strict=True)
        ]
        return Bounded(value, error)

    def _sum(self, x: sympy.Basic, over: sympy.Basic) -> Bounded:
        part = self(x)
        value = [np.sum(v) for v in part.value]
        # A sum of n terms in any order of pairwise blocks: log2(n) roundings, blocks of up to 16.
        depth = 16 + np.log2(max(v.size for v in part.value) + 1)
        error = [
            np.sum(e) + depth * self.unit * np.sum(abs(v))
            for v, e in zip(part.value, part.error, strict=True)
        ]
        if str(over) == "channel":
            return self._channel_sum(part)
        if str(over) == "member":
            value, error = [np.sum(value)] * self.count, [np.sum(error)] * self.count
        return Bounded(value, error)


def _channel_sums(x: np.ndarray) -> np.ndarray:
    return x.sum(tuple(range(1, x.ndim)), keepdims=True) if x.ndim > 1 else np.array(0.0)


def _one(node, x, ex, unit):
    if isinstance(node, sympy.exp):
        return np.exp(x), np.exp(x) * (ex + 4 * unit)  # 4: of a library's exp
    if isinstance(node, sympy.log):
        return np.log(x), ex / abs(x) + 4 * unit * abs(np.log(x))
    if isinstance(node, sympy.floor):
        return np.floor(x), ex * 0
    return {sympy.Abs: np.abs, sympy.sign: np.sign}[type(node)](x), ex


def _two(node, x, ex, y, ey, unit):
    if isinstance(node, sympy.Max | sympy.Min):
        function = np.maximum if isinstance(node, sympy.Max) else np.minimum
        return function(x, y), np.maximum(ex, ey)
    if node.is_Add:
        return x + y, ex + ey + unit * abs(x + y)
    if node.is_Mul:
        return x * y, abs(x) * ey + abs(y) * ex + unit * abs(x * y)
    return _power(x, ex, y, unit)


def _power(x, ex, y, unit):
    value = x**y  # the exponent is t or a number, which are exact
    if np.all(y == 0.5):  # a root: this also holds at x = 0
        return value, np.sqrt(x + ex) - value + unit * value
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = abs(y) * np.where(ex > 0, ex / abs(x), 0.0)
    return value, abs(value) * (relative + unit * np.maximum(abs(y), 1))
