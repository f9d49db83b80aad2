"""Printed lines, which are plain Python over numbers, as Triton writes them over blocks."""

import ast
from collections.abc import Iterable

_CALLS = {
    "abs": "tl.abs",
    "exp": "_exp",
    "floor": "tl.floor",
    "log": "_log",
    "sign": "_sign",
}

# Triton's own division and root in single precision are fast and off by two units.
_EXACT = {"float32": {"div": "tl.div_rn", "sqrt": "tl.sqrt_rn"}, "float64": {"sqrt": "tl.sqrt"}}


def lines_in(real: str, lines: Iterable[str]) -> list[str]:
    """Return assignments as Triton code that computes in ``"float32"`` or ``"float64"``.

    >>> lines_in("float32", ["x0 = m / (sqrt(v))", "x1 = a if a > b or a != a else b"])
    ['x0 = tl.div_rn(m, tl.sqrt_rn(v))', 'x1 = tl.where(a > b, a, tl.where(a != a, a, b))']
    """
    return [ast.unparse(_Words(real).visit(ast.parse(line))) for line in lines]


def value_in(real: str, expression: str) -> str:
    """Return an expression as Triton code.

    >>> value_in("float64", "0.1")
    'tl.full((), 0.1, tl.float64)'
    """
    return ast.unparse(_Words(real).visit(ast.parse(expression, mode="eval")))


def names_in(texts: Iterable[str]) -> set[str]:
    """Return the names that lines and expressions mention.

    >>> sorted(names_in(["x0 = m + c1"]))
    ['c1', 'm', 'x0']
    """
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


class _Words(ast.NodeTransformer):
    """Rewrites what has no meaning, or another one, over blocks."""

    def __init__(self, real: str) -> None:
        self._real, self._exact = real, _EXACT[real]

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        test, otherwise = node.test, node.orelse
        if isinstance(test, ast.Constant):
            return self.visit(node.body if test.value else otherwise)
        if isinstance(test, ast.BoolOp):
            # Not with `|`: the interpreter cannot mix a row's condition with one per weight.
            test, second = test.values
            otherwise = ast.IfExp(second, node.body, otherwise)
        return self._call("tl.where", test, node.body, otherwise)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.Pow):
            return self._call("_power", node.left, node.right)
        if isinstance(node.op, ast.Div) and "div" in self._exact:
            return self._call(self._exact["div"], node.left, node.right)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        assert isinstance(node.func, ast.Name)
        return self._call((_CALLS | self._exact)[node.func.id], *node.args)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        # A bare number would be single precision wherever Triton cannot tell from its neighbour.
        return ast.parse(f"tl.full((), {node.value!r}, tl.{self._real})", mode="eval").body

    def _call(self, function: str, *arguments: ast.expr) -> ast.AST:
        name = ast.parse(function, mode="eval").body
        return ast.Call(name, [self.visit(a) for a in arguments], [])
