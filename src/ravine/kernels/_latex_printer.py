"""SymPy's LaTeX printer with the brackets and functions that a textbook has."""

import re
from collections.abc import Mapping

import sympy
from sympy.printing.latex import LatexPrinter

# A word with its index, before a factor and not before a bracket, a row's end or a text.
_WORD = r"\\(?:mathrm|widehat|widetilde|overline)\{"
_BETWEEN = (
    r"(\\mathrm\{[^{}]*\}\}?(?:_\w|_\{[\w-]*\})?) "
    r"(?=\w|\\(?!left|right|rVert|text|end|,|\\))"
)


def printed(node: sympy.Basic, names: Mapping[sympy.Symbol, str]) -> str:
    """Return an expression as LaTeX, its terms in the order in which they were written.

    Args:
        node: The expression.
        names: LaTeX of each symbol.
    """
    return _spaced(_Printer({"symbol_names": dict(names), "order": "none"}).doprint(node))


def _spaced(text: str) -> str:
    """Return LaTeX with a thin space between a word and another factor, a dot between numbers."""
    text = re.sub(rf"(?<=[\w}}])(?<!lVert) (?={_WORD})", r" \\, ", text)
    text = re.sub(_BETWEEN, r"\1 \\, ", text)
    return re.sub(r"(\d) (?=\{?\d)", r"\1 \\cdot ", text)


class _Printer(LatexPrinter):
    def _called(self, name: str, node: sympy.Basic, exponent: str | None) -> str:
        inside = ", ".join(map(self._print, node.args))
        text = rf"{name}\left({inside}\right)"
        return text if exponent is None else rf"{text}^{{{exponent}}}"

    # \operatorname is not among the commands that GitHub allows.
    def _print_sign(self, node: sympy.Basic, exp: str | None = None) -> str:
        return self._called(r"\mathrm{sign}", node, exp)

    def _print_log(self, node: sympy.Basic, exp: str | None = None) -> str:
        return self._called(r"\log", node, exp)

    def _print_ExpBase(self, node: sympy.Basic, exp: str | None = None) -> str:  # noqa: N802
        return self._called(r"\exp", node, exp)

    def _print_Abs(self, node: sympy.Basic, exp: str | None = None) -> str:  # noqa: N802
        text = rf"\left\lvert {self._print(node.args[0])} \right\rvert"
        return text if exp is None else rf"{text}^{{{exp}}}"
