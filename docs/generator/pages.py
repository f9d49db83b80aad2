"""The page of a rule or method, as Markdown."""

from importlib import import_module
from importlib.util import find_spec

from docs.generator.classes import CLASSES, PARAMETERS
from docs.generator.figures import FIGURE_RATES, caption
from docs.generator.formulas import block, formula, inline
from docs.generator.paths import METHODS
from docs.generator.tables import (
    libraries_table,
    method_settings_table,
    settings_table,
    table,
    terms_table,
)
from docs.generator.terms import markdown, method_terms, notes, settings
from ravine.kernels import latex
from ravine.kernels._latex import symbols
from ravine.rules import Rule, all_rules, get_rule, rule_names

MADE = "<!-- Written by `python -m docs.generator`; changes made here are lost. -->\n"
# What stands between the formulas of a method.
FURTHER = r",\quad "
_DRAWN = (
    "Double precision, exact gradients, no weight decay, other settings at their defaults."
    f" {FIGURE_RATES} The first 40 steps have dots."
)


def page(name: str, path: str | None = None) -> str:
    """Return the page of a rule or method.

    Args:
        name: Of the rule or method.
        path: Text of the section on its path; by default the path is computed anew.
    """
    parts = _rule_parts(get_rule(name)) if name in rule_names() else _method_parts(name)
    source = parts.pop("Source")
    parts |= {"Path": _path(name) if path is None else path, "Source": source}
    sections = [f"## {head}\n\n{text.strip()}\n" for head, text in parts.items() if text]
    title = f"{MADE}\n# {name}\n\n{summary(name)}\n"
    return "\n".join([title, *sections])


def summary(name: str) -> str:
    """Return a rule or method in one line."""
    if name in METHODS:
        return (METHODS[name].optimizer.__doc__ or "").partition("\n")[0]
    module = f"ravine.rules.{name}"
    # A file of several rules says in its first line what they share.
    if find_spec(module) and {r.name for r in import_module(module).RULES} == {name}:
        return (import_module(module).__doc__ or "").partition("\n")[0]
    return (get_rule(name).function.__doc__ or "").partition("\n")[0]


def _rule_parts(rule: Rule) -> dict[str, str]:
    return {
        "Formula": formula(rule),
        "Terms": terms_table(rule),
        "Settings": settings_table(rule),
        "Conventions": _conventions(rule),
        "Other libraries": _libraries(rule.name),
        "Use": _use(rule),
        "Source": f"{rule.paper}.",
    }


def _conventions(rule: Rule) -> str:
    every = [r for r in all_rules() if r.name == rule.name]
    rows = [(f"`{r.convention}`", r.differs, _defaults(r, rule)) for r in every]
    text = f"The page shows `{rule.convention}`, which `{rule.name}` alone means.\n\n"
    text += table(("convention", "what differs", "defaults that differ"), rows)
    shown, known = [latex(rule)], set(symbols(rule)) | {"w", "g"}
    for other in every:
        if latex(other) not in shown:
            shown.append(latex(other))
            same = ", ".join(r.convention for r in every if latex(r) == latex(other))
            more = "".join(f"\n{t}" for t in [terms_table(other, known)] if t)
            text += f"\n### {same}\n\n{formula(other)}{more}"
    return text


def _defaults(rule: Rule, beside: Rule) -> str:
    other = {n: v for n, v in rule.hypers.items() if beside.hypers.get(n) != v}
    return ", ".join(f"`{n}` {v:g}" for n, v in other.items())


def _libraries(name: str) -> str:
    rows = libraries_table(name)
    return rows and (
        f"{rows}\nEach row is held by a test; how is told in [conventions](../conventions.md)."
    )


def _use(rule: Rule) -> str:
    class_name, chosen = CLASSES[rule.name]
    settings = f"{chosen and f'{chosen}, '}lr={rule.hypers['lr']:g}"
    twice = "\n`step` needs a closure, because it evaluates the loss twice." if rule.ascent else ""
    return (
        f"```python\nimport ravine.optim\n\noptimizer = ravine.optim.{class_name}"
        f"(model.parameters(), {settings})\n```\n\n"
        f"Compared with others: `ravine compare --optimizers {rule.name},"
        f"{'momentum' if rule.name == 'sgd' else 'sgd'}`. As a formula:"
        f' `ravine.rules.get_rule("{rule.name}")`.{twice}'
    )


def _method_parts(name: str) -> dict[str, str]:
    method = METHODS[name]
    class_name, _ = CLASSES[name]
    terms = [(inline(symbol), text) for symbol, text in method_terms(method).items()]
    given = PARAMETERS.get(name, "model.parameters()")
    return {
        "Formula": f"{block(method.formula.split(FURTHER))}\n{notes(method)}",
        "Terms": table(("symbol", "what it does"), terms),
        "Settings": method_settings_table(method.defaults, settings(method), method.space),
        "Other libraries": _libraries(name),
        "Use": f"```python\nimport ravine.optim\n\noptimizer = ravine.optim.{class_name}"
        f"({given})\n```\n\nIt takes no part in `ravine compare`: {method.reason}.",
        "Source": f"{markdown(method.paper)}.",
    }


def _path(name: str) -> str:
    shape = " The two weights are a matrix of one row." if name in METHODS else ""
    return f"![Path of {name}](figures/{name}.svg)\n\n{caption(name)}\n\n{_DRAWN}{shape}"
