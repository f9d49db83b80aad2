r"""The words of a printed formula: its symbols, and how an expression is tidied before printing.

Tidying keeps the value: nested sums and products are made flat, signs and hyper-parameters move
to the front of a product, and norms, means and round numbers are printed as one writes them.
"""

import math

import sympy

from ravine.rules._vocabulary import SumOver

_HYPERS = {
    "lr": r"\eta",
    "beta1": r"\beta_1",
    "beta2": r"\beta_2",
    "eps": r"\varepsilon",
    "weight_decay": r"\lambda",
    "max_norm": "c",
    "dampening": r"\tau",
    "lr_decay": r"\kappa",
}


class Words:
    """Symbols of one rule's formula.

    Args:
        states: Names of the rule's states.
    """

    def __init__(self, states: tuple[str, ...]) -> None:
        self._states = states
        self._texts = {"w": "w_{t-1}", "g": "g_t"} | {s: _at(s, "t-1") for s in states}
        self._now: dict[sympy.Symbol, str] = {}

    def now(self, name: str) -> sympy.Symbol:
        """Return the symbol of a new value, such as ``v_t``."""
        return self._symbol(_at(name, "t"), name)

    def accented(self, accent: str, name: str) -> sympy.Symbol:
        r"""Return a symbol such as ``\hat{v}_t``."""
        head, _, below = _at(name, "t").partition("_")
        return self._symbol(rf"\{accent}{{{head}}}_{below}", name)

    def state_of(self, node: sympy.Basic) -> str | None:
        """Return the state whose new value a node is, if it is one."""
        name = self._now.get(node)
        return name if name in self._states and node == self.now(str(name)) else None

    def is_taken(self, letter: str) -> bool:
        """Whether the formula uses a letter for something else."""
        return letter in (*self._states, "w", "g", "t", "c")

    def is_per_weight(self, node: sympy.Basic) -> bool:
        """Whether a node's value differs from weight to weight."""
        if isinstance(node, SumOver):
            return False
        if node.is_Symbol:
            return str(node) in self._texts or node in self._now
        return any(map(self.is_per_weight, node.args))

    def has_state(self, node: sympy.Basic) -> bool:
        """Whether a state, old or new, stands in a node."""
        new = {self.now(s) for s in self._states}
        return any(str(s) in self._states or s in new for s in node.free_symbols)

    def is_by_time(self, node: sympy.Basic) -> bool:
        """Whether a node is a number that depends on t."""
        return not self.is_per_weight(node) and sympy.Symbol("t", real=True) in node.free_symbols

    def latex(self, node: sympy.Basic) -> str:
        """Return an expression as LaTeX."""
        tidy = self._tidy(node)
        names = {s: self._text(s) for s in tidy.free_symbols}
        # order="none" keeps the terms as the formula's author wrote them.
        return sympy.latex(tidy, symbol_names=names, order="none")

    def _symbol(self, text: str, name: str) -> sympy.Symbol:
        symbol = sympy.Symbol(text)
        self._now[symbol] = name
        return symbol

    def _text(self, symbol: sympy.Symbol) -> str:
        name = str(symbol)
        if not symbol.is_real:  # made here: its name is its text
            return name
        return self._texts.get(name) or _HYPERS.get(name) or _hyper(name)

    def _tidy(self, node: sympy.Basic) -> sympy.Basic:
        if node.is_Float:
            return _round_number(node)
        if node.is_Pow and node.exp == sympy.S.Half and isinstance(node.base, SumOver):
            x, over = node.base.args
            if x.is_Mul and len(x.args) == 2 and x.args[0] == x.args[1]:
                return sympy.Symbol(rf"\lVert {self.latex(x.args[0])} \rVert{_below(over)}")
        if isinstance(node, SumOver):
            return self._sum(*node.args)
        if not node.args:
            return node
        parts = [self._tidy(a) for a in node.args]
        if node.is_Add:
            return sympy.Add(*_flat(sympy.Add, parts), evaluate=False)
        return self._product(parts) if node.is_Mul else node.func(*parts)

    def _sum(self, x: sympy.Basic, over: sympy.Basic) -> sympy.Symbol:
        if x.is_Add and any(a.is_Mul and sympy.S.Zero in a.args for a in x.args):
            return sympy.Symbol(f"n{_below(over)}")  # mean() counts the weights so
        return sympy.Symbol(rf"\sum{_below(over)} \left({self.latex(x)}\right)")

    def _rank(self, factor: sympy.Basic) -> int:
        # A sum takes all that follows it for its own, so it is printed last.
        is_sum = any(str(s).startswith(r"\sum") for s in factor.free_symbols)
        return 2 if is_sum else int(self.is_per_weight(factor))

    def _product(self, parts: list[sympy.Basic]) -> sympy.Basic:
        factors = _flat(sympy.Mul, parts)
        negative = factors.count(sympy.S.NegativeOne) % 2
        rest = [f for f in factors if f not in (sympy.S.One, sympy.S.NegativeOne)]
        rest.sort(key=self._rank)
        if negative:
            rest.insert(0, sympy.S.NegativeOne)
        return sympy.Mul(*rest, evaluate=False) if len(rest) > 1 else (rest or [sympy.S.One])[0]


def _flat(kind: type[sympy.Basic], parts: list[sympy.Basic]) -> list[sympy.Basic]:
    return [leaf for part in parts for leaf in (part.args if isinstance(part, kind) else [part])]


def _at(name: str, time: str) -> str:
    r"""Return a symbol with its time: ``v_t``, ``v_{t-1}``, ``v_{\mathrm{max},t}``."""
    head, _, rest = name.partition("_")
    # SymPy knows the Greek names, and prints m2 as m_{2}.
    text, _, number = sympy.latex(sympy.Symbol(head)).partition("_")
    text = rf"\mathrm{{{text}}}" if len(text) > 1 and text.isalpha() else text
    words = rf"\mathrm{{{rest.replace('_', ' ')}}}" if rest else ""
    below = ",".join(part for part in (number.strip("{}"), words, time) if part)
    return f"{text}_{below}" if len(below) == 1 else f"{text}_{{{below}}}"


def _hyper(name: str) -> str:
    text = sympy.latex(sympy.Symbol(name))
    if len(name) == 1 or "\\" in text:  # a letter, or one of the Greek names
        return text
    words = r"\ ".join(name.split("_"))
    return rf"\mathrm{{{words}}}"


def _round_number(number: sympy.Float) -> sympy.Basic:
    value = float(number)
    if value == round(value):
        return sympy.Integer(round(value))
    power = round(math.log10(abs(value)))
    if abs(power) > 2 and value == float(f"1e{power}"):
        return sympy.Symbol(f"10^{{{power}}}")
    return number


def _below(over: sympy.Basic) -> str:
    """Return the subscript of a reduction: none for all weights, which is what one expects."""
    return r"_{\mathrm{tensor}}" if str(over) == "tensor" else ""
