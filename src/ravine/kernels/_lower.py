"""Expression to straight-line program: what a kernel does per step, per row and per weight.

A program has stages. A stage first computes *constants*, in double precision, once per row of
hyper-parameters: every sub-expression without ``w``, ``g`` or state is hoisted there. Then it
runs *lines* once per weight. All stages but the last end in sums, for reductions such as a norm;
the last one ends in the new weights and states.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import sympy

from ravine.kernels._signs import Ranges, positive, ranges_of
from ravine.rules import Rule, trace
from ravine.rules._vocabulary import SumOver

_HALF = sympy.Rational(1, 2)

# A function from expression to the name that holds its value.
_Namer = Callable[[sympy.Basic], str]

_CALLS = {
    sympy.Abs: "abs",
    sympy.exp: "exp",
    sympy.floor: "floor",
    sympy.log: "log",
    sympy.sign: "sign",
}
_RELATIONS = {
    sympy.StrictGreaterThan: ">",
    sympy.GreaterThan: ">=",
    sympy.StrictLessThan: "<",
    sympy.LessThan: "<=",
    sympy.Equality: "==",
    sympy.Unequality: "!=",
}


@dataclass(frozen=True)
class Stage:
    """Constants per row, lines per weight, and what the lines result in.

    Args:
        row_lines: Lines over the hyper-parameters and earlier sums, in double precision.
        constants: Value of each constant ``c0, c1, ...`` after the row lines.
        lines: Lines over the constants and arrays, in the dtype of the weights.
        results: For the last stage the new value of each array it writes, otherwise of each sum.
        scalars: For the last stage the new value of each scalar, after the row lines.
    """

    row_lines: tuple[str, ...]
    constants: tuple[str, ...]
    lines: tuple[str, ...]
    results: dict[str, str]
    scalars: dict[str, str]


@dataclass(frozen=True)
class Program:
    """A rule as straight-line code.

    Args:
        arrays: ``w``, ``g`` and the states.
        numbers: ``t`` and the hyper-parameters: the columns of the table that a kernel reads.
        scalars: Name of each scalar to ``"tensor"`` or ``"member"``, in order.
        sums: Name of each reduction to ``"channel"``, ``"tensor"`` or ``"member"``, in order.
        stages: In order of execution.
    """

    arrays: tuple[str, ...]
    numbers: tuple[str, ...]
    scalars: dict[str, str]
    sums: dict[str, str]
    stages: tuple[Stage, ...]

    @property
    def width(self) -> int:
        """Number of constants that the widest stage keeps per row."""
        return max(1, *(len(stage.constants) for stage in self.stages))

    @property
    def finest(self) -> str:
        """What needs its own row of numbers: every ``"channel"``, ``"tensor"`` or ``"member"``."""
        kinds = {*self.sums.values(), *self.scalars.values()}
        return next((kind for kind in ("channel", "tensor") if kind in kinds), "member")


@lru_cache(maxsize=256)
def lower(rule: Rule) -> Program:
    """Return the program of a rule.

    Raises:
        SettingError: When the formula cannot be traced.
    """
    traced = trace(rule)
    sums = _sums_by_depth([*traced.results.values(), *traced.scalars.values()])
    names = {node: f"sum{i}" for i, node in enumerate(node for level in sums for node in level)}
    known = _Known(frozenset(traced.arrays), names, ranges_of(rule))
    stages = [_stage(known, {names[node]: node.args[0] for node in level}, {}) for level in sums]
    # What a step leaves as it is, such as the weights it started from, is not written back.
    written = {n: v for n, v in traced.results.items() if n == "w" or str(v) != n}
    stages.append(_stage(known, written, traced.scalars))
    over = {name: str(node.args[1]) for node, name in names.items()}
    return Program(traced.arrays, traced.numbers, dict(rule.scalars), over, tuple(stages))


def _sums_by_depth(results: Iterable[sympy.Expr]) -> list[list[SumOver]]:
    """Group reductions so that each one only needs sums of earlier groups."""
    levels: list[list[SumOver]] = []
    seen: set[sympy.Basic] = set()
    for expression in results:
        for node in _postorder(expression, seen):
            if isinstance(node, SumOver):
                inner = [
                    i for i, level in enumerate(levels) if any(node.args[0].has(s) for s in level)
                ]
                depth = 1 + max(inner, default=-1)
                levels.extend([] for _ in range(depth + 1 - len(levels)))
                levels[depth].append(node)
    return levels


def _postorder(node: sympy.Basic, seen: set[sympy.Basic]) -> Iterator[sympy.Basic]:
    """Yield what has not been seen, once each: as trees, shared parts would grow exponentially."""
    if node not in seen:
        seen.add(node)
        for part in node.args:
            yield from _postorder(part, seen)
        yield node


class _Known(NamedTuple):
    """What is known of a rule's symbols.

    Args:
        arrays: Names with one entry per weight.
        sums: Name of each reduction.
        ranges: Where ``t`` and the hyper-parameters lie.
    """

    arrays: frozenset[str]
    sums: Mapping[SumOver, str]
    ranges: Ranges


def _stage(
    known: _Known, wanted: Mapping[str, sympy.Expr], scalars: Mapping[str, sympy.Expr]
) -> Stage:
    printer = _Printer(known, _uses([*wanted.values(), *scalars.values()]))
    results = {name: printer.array(value) for name, value in wanted.items()}
    new_scalars = {name: printer.row(value) for name, value in scalars.items()}
    return Stage(
        tuple(printer.row_lines),
        tuple(printer.constants.values()),
        tuple(printer.lines),
        results,
        new_scalars,
    )


def _uses(expressions: Iterable[sympy.Expr]) -> Counter[sympy.Basic]:
    """Count in how many places each sub-expression stands."""
    uses: Counter[sympy.Basic] = Counter()
    seen: set[sympy.Basic] = set()
    todo = list(expressions)
    uses.update(todo)
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            uses.update(node.args)
            todo.extend(node.args)
    return uses


@dataclass
class _Printer:
    """Prints expressions as lines ``x1 = ...``, each distinct sub-expression once.

    Args:
        known: What is known of the symbols.
        uses: In how many places each sub-expression stands.
    """

    known: _Known
    uses: Counter[sympy.Basic]
    lines: list[str] = field(default_factory=list)
    row_lines: list[str] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)
    _atoms: dict[tuple[sympy.Basic, bool], str] = field(default_factory=dict)
    _constant_of: dict[sympy.Basic, str] = field(default_factory=dict)
    _varies: dict[sympy.Basic, bool] = field(default_factory=dict)

    def array(self, node: sympy.Basic) -> str:
        """Return the name that holds an expression's value per weight."""
        if not self._per_weight(node):
            return self._constant(node)
        return self._name(node, per_weight=True)

    def row(self, node: sympy.Basic) -> str:
        """Return the name, or the number, that holds an expression's value per row."""
        if node.is_Number:
            return repr(float(node))
        return self._name(node, per_weight=False)

    def _constant(self, node: sympy.Basic) -> str:
        if node not in self._constant_of:
            name = f"c{len(self.constants)}"
            self._constant_of[node] = name
            self.constants[name] = self.row(node)
        return self._constant_of[node]

    def _name(self, node: sympy.Basic, *, per_weight: bool) -> str:
        if node.is_Symbol:
            return str(node)
        if isinstance(node, SumOver):
            return self.known.sums[node]
        key = (node, per_weight)
        if key not in self._atoms:
            text = self._operation(node, self.array if per_weight else self.row)
            lines = self.lines if per_weight else self.row_lines
            name = f"{'x' if per_weight else 'r'}{len(lines)}"
            lines.append(f"{name} = {text}")
            self._atoms[key] = name
        return self._atoms[key]

    def _operation(self, node: sympy.Basic, name: _Namer) -> str:
        if node.is_Add:
            return self._sum(node, name)
        if node.is_Mul or (node.is_Pow and node.exp.is_Number and node.exp < 0):
            return self._product(node, name)
        if node.is_Pow:
            factors = self._root(node) if name == self.array else ()
            return " * ".join(map(name, factors)) or _power(name(node.base), node.exp, name)
        if isinstance(node, sympy.Max | sympy.Min):
            return _extreme(node, name)
        if isinstance(node, sympy.Piecewise):
            (a, condition), (b, _) = node.args
            return f"{name(a)} if {self._condition(condition, name)} else {name(b)}"
        return f"{_CALLS[type(node)]}({name(node.args[0])})"

    def _condition(self, node: sympy.Basic, name: _Namer) -> str:
        if node in (sympy.true, sympy.false):
            return str(bool(node))
        return f"{name(node.lhs)} {_RELATIONS[type(node)]} {name(node.rhs)}"

    def _sum(self, node: sympy.Basic, name: _Namer) -> str:
        row = [term for term in node.args if not self._per_weight(term)]
        if name == self.array and len(row) > 1:
            hoisted = sympy.Add(*row, evaluate=False)
            terms = [t for t in node.args if self._per_weight(t)] + [hoisted]
        else:
            terms = list(node.args)
        text = ""
        for term in terms:
            sign, rest = _split_sign(term)
            text += f" {sign} {name(rest)}" if text else f"{'-' if sign == '-' else ''}{name(rest)}"
        return text

    def _product(self, node: sympy.Basic, name: _Namer) -> str:
        over: list[str] = []
        under: list[str] = []
        row: list[sympy.Expr] = []
        for factor, inverse in self._factors(node, top=True):
            if name == self.array and not self._per_weight(factor):
                row.append(sympy.Pow(factor, -1, evaluate=False) if inverse else factor)
            else:
                (under if inverse else over).append(name(factor))
        shared = [name(row[0] if len(row) == 1 else sympy.Mul(*row, evaluate=False))] if row else []
        if not under:
            return " * ".join([*shared, *over])
        quotient = (
            f"{' * '.join(over or shared or [name(sympy.Integer(1))])} / ({' * '.join(under)})"
        )
        # Outside the quotient: with the sum it mostly stands in, one fused operation.
        return f"{shared[0]} * ({quotient})" if over and shared else quotient

    def _root(self, node: sympy.Pow) -> tuple[sympy.Expr, ...]:
        """Split the root of a positive constant times the rest into two roots.

        So a root to which something is added, as most are, takes one multiplication less.
        """
        if node.exp != _HALF or not node.base.is_Mul or self.uses[node.base] > 1:
            return ()
        parts: dict[bool, list[sympy.Expr]] = {False: [], True: []}
        for factor, inverse in self._factors(node.base, top=True):
            signed = sympy.Pow(factor, -1, evaluate=False) if inverse else factor
            parts[self._per_weight(factor)].append(signed)
        roots = [sympy.Mul(*part, evaluate=False) for part in parts.values()]
        if not parts[False] or not positive(roots[0], self.known.ranges):
            return ()
        return tuple(sympy.Pow(root, _HALF, evaluate=False) for root in roots)

    def _factors(
        self, node: sympy.Basic, inverse: bool = False, top: bool = False
    ) -> Iterator[tuple[sympy.Basic, bool]]:
        """Yield factors of nested products; a product that is also needed by itself stays whole."""
        if node.is_Mul and (top or self.uses[node] <= 1):
            for factor in node.args:
                yield from self._factors(factor, inverse)
        elif node.is_Pow and node.exp.is_Number and node.exp < 0:
            base = node.base if node.exp == -1 else sympy.Pow(node.base, -node.exp, evaluate=False)
            yield from self._factors(base, not inverse)
        else:
            yield node, inverse

    def _per_weight(self, node: sympy.Basic) -> bool:
        if isinstance(node, SumOver):
            return False
        if node.is_Symbol:
            return str(node) in self.known.arrays
        if node not in self._varies:
            self._varies[node] = any(self._per_weight(a) for a in node.args)
        return self._varies[node]


def _split_sign(term: sympy.Basic) -> tuple[str, sympy.Basic]:
    if term.is_Mul and term.args[0] == -1 and len(term.args) == 2:
        return "-", term.args[1]
    return "+", term


def _power(base: str, exponent: sympy.Basic, name: _Namer) -> str:
    if exponent == _HALF:
        return f"sqrt({base})"
    if exponent.is_Integer and 1 <= exponent <= 4:
        return " * ".join([base] * int(exponent))
    return f"{base} ** {name(exponent)}"


def _extreme(node: sympy.Basic, name: _Namer) -> str:
    """Print a maximum or minimum that keeps NaN of either side."""
    a, b = map(name, node.args)
    sign = ">" if isinstance(node, sympy.Max) else "<"
    return f"{a} if {a} {sign} {b} or {a} != {a} else {b}"
