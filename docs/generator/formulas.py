"""Formulas as blocks that GitHub and most other readers of Markdown draw."""

import re

from ravine.kernels._latex import latex, symbols
from ravine.kernels._latex_points import latex_ascent, latex_readout
from ravine.rules import Rule


def block(lines: list[str]) -> str:
    """Return lines of LaTeX as one block, aligned at their first equals sign or arrow."""
    # A fenced block: between $$ Markdown would read underscores and backslashes as its own.
    aligned = " \\\\\n".join(
        re.sub(r" (=|\\leftarrow) ", r" &\1 ", line, count=1) for line in lines
    )
    return f"```math\n\\begin{{aligned}}\n{aligned}\n\\end{{aligned}}\n```\n"


def inline(text: str) -> str:
    """Return LaTeX within a sentence or a cell."""
    return f"$`{text}`$"


def formula(rule: Rule) -> str:
    """Return a rule's formula with the points that it needs and where its states start."""
    return block(list(latex(rule).values())) + "".join(
        f"\n{sentence}\n" for sentence in (_ascent(rule), _readout(rule), _starts(rule)) if sentence
    )


def _ascent(rule: Rule) -> str:
    # Two gradients: the one that leads uphill gets a prime.
    point = latex_ascent(rule).replace("g_t", "g'_t")
    first = inline("g'_t")
    return point and (
        f"The gradient {inline('g_t')} is taken at {inline(point)}, where {first} is the one at"
        f" {inline('w_{t-1}')}."
    )


def _readout(rule: Rule) -> str:
    point = latex_readout(rule)
    return point and f"What is evaluated is not {inline('w_t')} but {inline(point)}."


def _starts(rule: Rule) -> str:
    names, set_here = symbols(rule), latex(rule)
    first = {name: names[name].replace("t}", "0}").replace("_t", "_0") for name in rule.kept}
    told = {
        name: "w_0" if start == "w" else names[start]
        for name, start in rule.init.items()
        if names[name] != "w_0"
    }
    sentences = [f"{inline(f'{first[name]} = {start}')}" for name, start in told.items()]
    others = [n for n in rule.kept if n not in told and f"{n}_0" not in set_here]
    if any(names[n] != "w_0" for n in others):
        sentences.append("other states start at 0" if sentences else "States start at 0")
    return f"{', '.join(sentences)}." if sentences else ""
