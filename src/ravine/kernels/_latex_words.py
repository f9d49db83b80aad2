r"""The words of a printed formula: its symbols, and how an expression is tidied before printing.

Tidying keeps the value: nested sums and products are made flat, signs and hyper-parameters move
to the front of a product, and norms, means and round numbers are printed as one writes them.
"""

import math

import sympy

from ravine.kernels._latex_printer import printed
from ravine.kernels._latex_trees import averaged, cases, normed, rebuilt
from ravine.rules import Rule, trace
from ravine.rules._vocabulary import SumOver

_HYPERS = {
    "lr": r"\eta",
    "beta1": r"\beta_1",
    "beta2": r"\beta_2",
    "eps": r"\varepsilon",
    "eps_root": r"\bar{\varepsilon}",
    "weight_decay": r"\lambda",
    "lambd": r"\lambda",
    "max_norm": "c",
    "max_value": "c",
    "dampening": r"\tau",
    "lr_decay": r"\kappa",
    "momentum_decay": r"\psi",
    "threshold": r"\theta",
    "trust_coefficient": r"c_{\mathrm{trust}}",
    "warmup": r"T_{\mathrm{warm}}",
    "warmup_steps": r"T_{\mathrm{warm}}",
    "weight_lr_power": r"p_{\mathrm{lr}}",
    "ema_decay": r"\beta_{\mathrm{ema}}",
    "eta_minus": r"\eta^{-}",
    "eta_plus": r"\eta^{+}",
    "growth_rate": r"\Gamma",
    "sync": "K",
}
_ACCENTS = ("hat", "tilde", "bar")


class Words:
    """Symbols of one rule's formula.

    Args:
        rule: The rule.
    """

    def __init__(self, rule: Rule) -> None:
        self._kept, self._scalars, self._hypers = rule.kept, rule.scalars, rule.hypers
        unchanged = {s for s in rule.state if _unchanged(rule, s)}
        self._texts = {"w": "w_{t-1}", "g": "g_t"} | {
            s: "w_0" if s in unchanged else _at(s, "t-1") for s in self._kept
        }
        self._made: dict[sympy.Symbol, tuple[str, bool]] = {}
        self._used = {"w", "g", "t", "c", *self._kept, *self._hypers}

    def now(self, name: str) -> sympy.Symbol:
        """Return the symbol of a new value, such as ``v_t``."""
        return self._symbol(_at(name, "t"), name, name not in self._scalars)

    def start(self, name: str) -> str:
        """Return the symbol of a first value, such as ``v_0``."""
        return _at(name, "0")

    def part(self, name: str, node: sympy.Basic) -> sympy.Symbol:
        """Return the symbol of a part of the formula: its time is left out if it is constant."""
        changes = self.is_per_weight(node) or self._is_by_step(node)
        return self._symbol(_at(name, "t" if changes else ""), name, self.is_per_weight(node))

    def free(self, name: str) -> str:
        """Return a name for a part, with an accent if the name stands for something else."""
        wanted = (name, f"{name}_tilde") if name and not name.startswith("_") else ()
        found = next((n for n in wanted if n not in self._used), "")
        self._used.add(found)
        return found

    def name(self, symbol: sympy.Symbol) -> str:
        """Return what a symbol stands for."""
        return self._made[symbol][0] if symbol in self._made else str(symbol)

    def hyper(self, name: str) -> str:
        """Return how a hyper-parameter is written."""
        return _HYPERS.get(name) or _at(name, "")

    def kept(self, name: str) -> str:
        """Return how a state or scalar is written."""
        return "w_0" if self.is_constant(name) else _at(name, "t")

    def is_constant(self, name: str) -> bool:
        """Whether a state holds the first weights, and nothing else ever."""
        return self._texts[name] == "w_0"

    def state_of(self, node: sympy.Basic) -> str | None:
        """Return the state whose new value a node is, if it is one."""
        name, _ = self._made.get(node, ("", False))
        return name if name in self._kept and node == self.now(name) else None

    def is_taken(self, letter: str) -> bool:
        """Whether the formula uses a letter for something else."""
        return letter in self._used

    def is_per_weight(self, node: sympy.Basic) -> bool:
        """Whether a node's value differs from weight to weight."""
        if isinstance(node, SumOver):
            return False
        if node.is_Symbol:
            if node in self._made:
                return self._made[node][1]
            return str(node) in self._texts and str(node) not in self._scalars
        return any(map(self.is_per_weight, node.args))

    def is_by_time(self, node: sympy.Basic) -> bool:
        """Whether a node is a number that depends on t."""
        return not self.is_per_weight(node) and sympy.Symbol("t", real=True) in node.free_symbols

    def latex(self, node: sympy.Basic) -> str:
        """Return an expression as LaTeX."""
        if not isinstance(node, sympy.Piecewise):
            tidy = self._tidy(node)
            return printed(tidy, {s: self._text(s) for s in tidy.free_symbols})
        rows = [f"{self.latex(value)} & {self._when(when)}" for value, when in cases(node)]
        return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"

    def _when(self, conditions: tuple[sympy.Basic, ...]) -> str:
        if not conditions:
            return r"\text{otherwise}"
        return r"\text{if } " + r" \text{ and } ".join(map(self.latex, conditions))

    def _is_by_step(self, node: sympy.Basic) -> bool:
        constant = {str(h) for h in self._hypers}
        return any(str(s) not in constant for s in node.free_symbols) or node.has(SumOver)

    def _symbol(self, text: str, name: str, per_weight: bool) -> sympy.Symbol:
        symbol = sympy.Symbol(text)
        self._made[symbol] = name, per_weight
        return symbol

    def _text(self, symbol: sympy.Symbol) -> str:
        name = str(symbol)
        if not symbol.is_real:  # made here: its name is its text
            return name
        return self._texts.get(name) or self.hyper(name)

    def _tidy(self, node: sympy.Basic) -> sympy.Basic:
        if node.is_Float:
            return _round_number(node)
        if (inner := normed(node)) is not None:
            return sympy.Symbol(rf"\lVert {self.latex(inner)} \rVert{_below(node.base.args[1])}")
        if (found := averaged(node)) is not None:
            return self._sum(r"\mathrm{mean}", *found.args)
        if isinstance(node, SumOver):
            return self._sum(r"\sum", *node.args)
        if not node.args:
            return node
        return self._joined(node, [self._tidy(a) for a in node.args])

    def _joined(self, node: sympy.Basic, parts: list[sympy.Basic]) -> sympy.Basic:
        if node.is_Add:
            return sympy.Add(*_flat(sympy.Add, parts), evaluate=False)
        return self._product(parts) if node.is_Mul else rebuilt(node, parts)

    def _sum(self, word: str, x: sympy.Basic, over: sympy.Basic) -> sympy.Symbol:
        if x == 1:
            return sympy.Symbol(f"n{_below(over)}")
        return sympy.Symbol(rf"{word}{_below(over)} \left({self.latex(x)}\right)")

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


def _unchanged(rule: Rule, state: str) -> bool:
    return rule.init.get(state) == "w" and trace(rule).results[state] == sympy.Symbol(
        state, real=True
    )


def _flat(kind: type[sympy.Basic], parts: list[sympy.Basic]) -> list[sympy.Basic]:
    return [leaf for part in parts for leaf in (part.args if isinstance(part, kind) else [part])]


def _at(name: str, time: str) -> str:
    r"""Return a symbol with its time: ``v_t``, ``v_{t-1}``, ``v_{\mathrm{max},t}``."""
    stem, _, accent = name.rpartition("_")
    if accent in _ACCENTS and stem:
        return _accented(accent, _at(stem, time))
    head, _, rest = name.partition("_")
    # SymPy knows the Greek names, and prints m2 as m_{2}.
    text, _, number = sympy.latex(sympy.Symbol(head)).partition("_")
    text = _HYPERS["lr"] if head == "lr" else text
    if len(text) > 1 and text.isalpha():
        text, rest = _word(name), ""
    words = _word(rest) if rest else ""
    below = ",".join(part for part in (number.strip("{}"), words, time) if part)
    return f"{text}_{below}" if len(below) == 1 else f"{text}_{{{below}}}" if below else text


def _word(name: str) -> str:
    return rf"\mathrm{{{name.replace('_', chr(92) + ' ')}}}"


def _accented(accent: str, text: str) -> str:
    head, mark, below = text.partition("_")
    wide = {"hat": "widehat", "tilde": "widetilde", "bar": "overline"}
    accent = wide[accent] if head.startswith(r"\mathrm") else accent
    return rf"\{accent}{{{head}}}{mark}{below}"


def _round_number(number: sympy.Float) -> sympy.Basic:
    value = float(number)
    if value == round(value) and abs(value) < 1e6:
        return sympy.Integer(round(value))
    power = round(math.log10(abs(value)))
    if abs(power) > 2 and value == float(f"1e{power}"):
        return sympy.Symbol(f"10^{{{power}}}")
    return number


def _below(over: sympy.Basic) -> str:
    """Return the subscript of a reduction: none for all weights, which is what one expects."""
    return "" if str(over) == "member" else rf"_{{\mathrm{{{over}}}}}"
