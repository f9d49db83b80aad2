"""The index of all rules, and the modifiers."""

import inspect
import re

from docs.generator.classes import CLASSES, FAMILIES
from docs.generator.formulas import inline
from docs.generator.pages import MADE, summary
from docs.generator.tables import table
from docs.generator.terms import markdown
from ravine.rules import modifiers

_HEAD = """\
# Rules

Every optimizer of Ravine, with its formula as the code has it, what each term does, its settings,
where libraries differ, and its path on two surfaces. Formulas use one notation: weights $`w_t`$
and gradient $`g_t`$ at step $`t = 1, 2, ...`$, operations on vectors weight by weight, norms over
all weights of the model unless a subscript says otherwise.
"""
_MODIFIERS = """\
## Modifiers

A modifier makes a rule of a rule. Modifiers compose, and end up in the same kernel as the rule:
`modifiers.clip_global_norm(modifiers.weight_decay(get_rule("adam")))` clips the raw gradient and
then adds the decay. They are functions of `ravine.rules.modifiers`.
"""


def index() -> str:
    """Return the index page."""
    parts = [MADE, _HEAD]
    for family, names in FAMILIES.items():
        rows = [(f"[{n}]({n}.md)", f"`{CLASSES[n][0]}`", summary(n)) for n in names]
        parts.append(f"## {family}\n\n{table(('rule', 'class', 'in a line'), rows)}")
    rows = [_modifier(name) for name in modifier_names()]
    parts.append(f"{_MODIFIERS}\n{table(('modifier', 'formula', 'what it does'), rows)}")
    return "\n".join(parts)


def modifier_names() -> list[str]:
    """Return the names of all modifiers, in the order of their file."""
    found = inspect.getmembers(modifiers, inspect.isfunction)
    own = [(f.__code__.co_firstlineno, n) for n, f in found if f.__module__ == modifiers.__name__]
    return [name for _, name in sorted(own) if not name.startswith("_")]


def _modifier(name: str) -> tuple[str, str, str]:
    text = inspect.getdoc(getattr(modifiers, name)) or ""
    first, _, rest = text.partition("\n\n")
    math, _, more = rest.partition("\n\n")
    formula = " ".join(math.removeprefix(".. math::").split())
    # A bar would end the cell.
    return f"`{name}`", inline(formula.replace("|", r"\vert ")), _plain(f"{first} {more}")


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", markdown(text)).strip()
