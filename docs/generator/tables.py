"""The tables of a rule's page."""

from collections.abc import Iterable, Mapping, Sequence

from docs.generator.classes import argument
from docs.generator.formulas import inline
from docs.generator.terms import term
from ravine.kernels._latex import symbols
from ravine.rules import Range, Rule
from ravine.testing._peers import PEERS, Peer


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def terms_table(rule: Rule, leave_out: Iterable[str] = ()) -> str:
    """Return the table of all names in a rule's formula; empty when every one is left out."""
    written = {"g": "g_t"} | symbols(rule)
    first = {f"{name}_0" for name in rule.kept}
    order = ["w", "g", *rule.hypers, *rule.kept, *written]
    names = [n for n in dict.fromkeys(order) if n not in leave_out and n not in first]
    rows = [(inline(written[n]), _kind(rule, n), term(rule.name, n)) for n in names]
    return table(("symbol", "name", "what it does"), rows) if rows else ""


def _kind(rule: Rule, name: str) -> str:
    if name in ("w", "g"):
        return "weights" if name == "w" else "gradient"
    kept = {"tensor": "a number per tensor", "member": "one number"}
    if name in rule.scalars:
        return f"`{name}`, {kept[rule.scalars[name]]}"
    kinds = ((rule.state, "state"), (rule.hypers, "setting"))
    kind = next((word for names, word in kinds if name in names), "part")
    return f"{kind}" if kind == "part" else f"`{name}`, {kind}"


def settings_table(rule: Rule) -> str:
    """Return the table of a rule's settings."""
    names = symbols(rule)
    rows = [
        (
            inline(names[name]),
            f"`{name}`",
            f"`{argument(rule, name)}`",
            _number(default),
            str(rule.bounds[name]).replace("|", "\\|"),
            str(rule.space[name]) if name in rule.space else "",
        )
        for name, default in rule.hypers.items()
    ]
    head = ("symbol", "name", "argument of the class", "default", "must be", "worth searching in")
    return table(head, rows)


def method_settings_table(
    defaults: Mapping[str, object], sentences: Mapping[str, str], space: Mapping[str, str]
) -> str:
    """Return the table of the settings of a method that is no rule."""
    rows = [
        (
            f"`{name}`",
            f"`{default!r}`",
            sentences[name],
            str(Range.parse(space[name])) if name in space else "",
        )
        for name, default in defaults.items()
    ]
    return table(("name", "default", "what it does", "worth searching in"), rows)


def libraries_table(name: str) -> str:
    """Return the table of what other libraries make of a rule; empty when none has it."""
    rows = [_library(peer) for peer in PEERS if peer.rule == name]
    return table(("library", "call", "compared with", "same numbers"), rows) if rows else ""


def _library(peer: Peer) -> tuple[str, str, str, str]:
    same = "yes" if peer.difference is None else f"no: differs by {peer.difference:.0e}"
    words = f"{same}; {peer.differs}" if peer.differs else same
    around = "".join(f", {modifier}" for modifier in peer.modifiers)
    call = peer.call().replace("|", "\\|")
    # Rows of one call are told apart by what the call was given.
    settings = "".join(f"; `{name}` {value:g}" for name, value in peer.settings.items())
    ours = f"{peer.convention or 'default'}{around}{settings}"
    return peer.library, f"`{call}`", ours, words


def _number(value: float) -> str:
    return "unlimited" if value >= 1e30 else f"{value:g}"
