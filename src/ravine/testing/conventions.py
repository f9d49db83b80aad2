"""The conventions table of the documentation, from the registry and the table of peers.

``python -m ravine.testing.conventions > docs/conventions.md`` writes the page again.
"""

import sys
from collections.abc import Iterable, Sequence

from ravine.rules import Rule, all_rules
from ravine.testing._conformance import known_names
from ravine.testing._golden import all_golden
from ravine.testing._peers import AGREES, LIBRARIES, PEERS, WITHOUT_ROW, Peer
from ravine.testing._points import BY_READING, POINTS

_INTRODUCTION = f"""\
# Conventions

Libraries and courses give different formulas the same name. Ravine writes each variant once, as a
*convention* of its rule: `adam@optax` on the command line, `get_rule("adam", "optax")` in Python.
A name alone means PyTorch's variant where PyTorch has the algorithm, and the paper's otherwise.

Every row names the test that holds it. A stored trajectory is the first ten iterates on one small
problem, from an independent implementation (`tests/testing/test_verify.py`). A library's row runs
that library beside Ravine's formula: 100 steps in float64 from the same gradients, with a rate
that changes at every step and most settings away from their defaults
(`tests/testing/test_peers.py`). Libraries that are built on PyTorch run with float64 as its default
dtype, because some keep numbers per tensor in the default one, and optax in double precision;
at their usual settings they round more. *Agrees* means to {AGREES:g} of the largest weight at every
step; a number is the largest difference that was measured at those settings, and says
that the two are different algorithms, not which is better. `ravine verify` runs all of it
here and now.
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION, _versions(), _general(), "## Rules\n"]
    parts += [_rule(name) for name in known_names()]
    parts += [_without_row(), _by_reading()]
    return "\n".join(parts)


def _versions() -> str:
    tested = ", ".join(f"{library.name} {library.tested}" for library in LIBRARIES.values())
    return f"Measured with {tested}.\n"


def _general() -> str:
    rows = [(p.what, p.variants, p.ours, f"`{p.test}`") for p in POINTS]
    heading = "## Points that concern many rules\n\nTests are in `tests/testing/test_points.py`.\n"
    return heading + "\n" + _table(("point", "variants", "Ravine", "test"), rows)


def _rule(name: str) -> str:
    parts = [f"### {name}\n"]
    stored = {golden.id for golden in all_golden()}
    rules = [rule for rule in all_rules() if rule.name == name]
    if rules:
        rows = [_convention(rule, stored) for rule in rules]
        parts.append(_table(("convention", "what differs", "source", "test"), rows))
    found = [row for row in PEERS if row.rule == name]
    if found:
        heading = ("library", "call", "compared with", "result", "what differs", "test")
        parts.append(_table(heading, [_peer(row) for row in found]))
    if not rules and not found:
        sources = [golden for golden in all_golden() if golden.rule == name]
        rows = [(g.convention, g.source, f"`test_golden[{g.id}]`") for g in sources]
        parts.append(_table(("convention", "source", "test"), list(dict.fromkeys(rows))))
    return "\n".join(parts)


def _convention(rule: Rule, stored: Iterable[str]) -> tuple[str, ...]:
    label = f"{rule.name}@{rule.convention}"
    test = f"`test_golden[{label}]`" if label in stored else "`test_check_rule.py`, nightly"
    return rule.convention, rule.differs, rule.paper, test


def _peer(row: Peer) -> tuple[str, ...]:
    if not row.traced():
        ours = "its class"
    else:
        rule = row.modified_rule()
        modifiers = "".join(f" + {name}" for name in row.modifiers)
        ours = f"{rule.convention}{modifiers}"
    settings = ", ".join(f"{name} {value:g}" for name, value in row.settings.items())
    compared = f"{ours}; {settings}" if settings else ours
    result = "agrees" if row.difference is None else f"{row.difference:.3g}"
    return row.library, f"`{row.call()}`", compared, result, row.differs, f"`test_peer[{row.id}]`"


def _without_row() -> str:
    rows = [(library, f"`{name}`", why) for library, name, why in WITHOUT_ROW]
    heading = (
        "## The same name, not run\n\n`tests/testing/test_peer_names.py` holds that every other"
        " optimizer that a library exports under a name of Ravine's has a row above.\n"
    )
    return heading + "\n" + _table(("library", "name", "why"), rows)


def _by_reading() -> str:
    rows = [(rule, f"`{name}`", text) for rule, name, text in BY_READING]
    heading = (
        "## timm, by reading\n\ntimm needs torchvision, which does not import beside the CPU build"
        " of PyTorch that the tests use. These rows come from its source and no test holds them.\n"
    )
    return heading + "\n" + _table(("rule", "class", "what differs from PyTorch or paper"), rows)


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


if __name__ == "__main__":
    sys.stdout.write(page())
