"""A rule's formula as LaTeX, from the same expression that the kernel is compiled from."""

import sympy

from ravine.rules import Rule, trace
from ravine.rules._vocabulary import SumOver

_SYMBOLS = {
    "w": "w_{t-1}",
    "g": "g_t",
    "lr": r"\eta",
    "mu": r"\mu",
    "gamma": r"\gamma",
    "alpha": r"\alpha",
    "rho": r"\rho",
    "beta": r"\beta",
    "beta1": r"\beta_1",
    "beta2": r"\beta_2",
    "eps": r"\varepsilon",
    "weight_decay": r"\lambda",
    "max_norm": "c",
    "dampening": r"\tau",
    "lr_decay": r"\kappa",
    "t": "t",
}


def latex(rule: Rule) -> dict[str, str]:
    r"""Return the new value of each state and of the weights as LaTeX, in order of computation.

    Args:
        rule: The rule, modifiers included.

    >>> from ravine.rules import get_rule
    >>> latex(get_rule("momentum", "lecture"))["v"]
    'v_t = \\gamma v_{t-1} + \\eta g_t'
    """
    traced = trace(rule)
    names = {name: _SYMBOLS.get(name, name.replace("_", r"\_")) for name in traced.numbers}
    names |= {"w": "w_{t-1}", "g": "g_t"} | {s: rf"{s}_{{t-1}}" for s in rule.state}
    symbols = {sympy.Symbol(k, real=True): text for k, text in names.items()}
    known: dict[sympy.Basic, sympy.Symbol] = {}
    lines: dict[str, str] = {}
    with sympy.evaluate(False):
        for name in (*rule.state, "w"):
            value = traced.results[name]
            right = _print(value.xreplace(known), symbols)
            lines[name] = f"{name}_t = {right}"
            if value.args:
                known[value] = sympy.Symbol(f"{name}_t")
    return lines


def _print(value: sympy.Expr, symbols: dict[sympy.Symbol, str]) -> str:
    # order="none" keeps the terms as the formula's author wrote them.
    sums = {node: _sum_name(node, symbols) for node in value.atoms(SumOver)}
    return sympy.latex(value.xreplace(sums), symbol_names=symbols, order="none")


def _sum_name(node: SumOver, symbols: dict[sympy.Symbol, str]) -> sympy.Symbol:
    under = rf"\mathrm{{{node.args[1]}}}"
    return sympy.Symbol(rf"\sum_{{{under}}} {_print(node.args[0], symbols)}")
