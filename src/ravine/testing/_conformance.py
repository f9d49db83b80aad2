"""Ravine's rules against the stored trajectories and the libraries that are installed."""

from dataclasses import dataclass

from ravine.core.errors import unknown
from ravine.rules import Rule, all_rules, get_rule, rule_names
from ravine.testing._golden import NEAR, Golden, all_golden, golden_differences
from ravine.testing._peers import AGREES, LIBRARIES, PEERS, Peer, measured

# A stated difference is a measurement: another machine's rounding may move its third digit.
STATED = 0.01


@dataclass(frozen=True)
class Finding:
    """What one comparison gave.

    Args:
        what: The convention of a stored trajectory, or the library.
        outcome: ``"agrees"``, ``"differs as stated"``, ``"not installed"`` or ``"unexpected"``.
        difference: Largest difference relative to the largest weight; None where not run.
        text: What differs, or what went wrong, in a sentence.
        id: Of the row or trajectory.
    """

    what: str
    outcome: str
    difference: float | None
    text: str
    id: str


@dataclass(frozen=True)
class Conformance:
    """All findings about one rule.

    Args:
        rule: Its name.
        golden: One finding per stored trajectory.
        libraries: One finding per row of the table.
    """

    rule: str
    golden: tuple[Finding, ...]
    libraries: tuple[Finding, ...]

    @property
    def as_expected(self) -> bool:
        """Whether nothing was unexpected."""
        found = (*self.golden, *self.libraries)
        return all(finding.outcome != "unexpected" for finding in found)


def known_names() -> list[str]:
    """Return the names of all rules that have a stored trajectory or a row in the table."""
    named = (*rule_names(), *(g.rule for g in all_golden()), *(row.rule for row in PEERS))
    return list(dict.fromkeys(named))


def conformance(name: str) -> Conformance:
    """Compare one rule with everything there is to compare it with.

    Args:
        name: Of the rule, all conventions together, or ``NAME@CONVENTION`` for one of them.

    Raises:
        SettingError: When there is no rule of this name, or none of this convention.
    """
    rule, chosen = split_name(name)
    golden = [g for g in all_golden() if g.rule == rule and chosen in (None, g.convention)]
    rows = [row for row in PEERS if row.rule == rule and chosen in (None, _convention(row))]
    return Conformance(name, tuple(map(judged_golden, golden)), tuple(map(judged, rows)))


def split_name(name: str) -> tuple[str, str | None]:
    """Return rule and convention of a name; None as the convention where it says none.

    Raises:
        SettingError: When there is no rule of this name, or none of this convention.

    >>> split_name("adam@lecture")
    ('adam', 'lecture')
    """
    rule, at, convention = name.partition("@")
    if rule not in known_names():
        raise unknown("rule", rule, known_names())
    if at and convention not in conventions(rule):
        raise unknown(f"convention of {rule}", convention, conventions(rule))
    return rule, convention if at else None


def conventions(rule: str) -> list[str]:
    """Return the conventions of a rule, or those of a class's stored trajectories."""
    traced = [r.convention for r in all_rules() if r.name == rule]
    return traced or list(dict.fromkeys(g.convention for g in all_golden() if g.rule == rule))


def _convention(row: Peer) -> str:
    if row.convention:
        return row.convention
    return get_rule(row.rule).convention if row.rule in rule_names() else conventions(row.rule)[0]


def judged_golden(golden: Golden, rule: Rule | None = None) -> Finding:
    """Compare a rule, by default the registry's, with a stored trajectory."""
    found = golden_differences(golden, rule)
    way, largest = max(found.items(), key=lambda item: item[1])
    if largest <= NEAR:
        return Finding(golden.convention, "agrees", largest, "", golden.id)
    text = f"the {way} leaves the stored trajectory"
    return Finding(golden.convention, "unexpected", largest, text, golden.id)


def judged(row: Peer) -> Finding:
    """Compare both sides of a row, unless its library is missing."""
    if not LIBRARIES[row.library].installed:
        return Finding(row.library, "not installed", None, row.differs, row.id)
    found = measured(row)
    if as_stated(found, row.difference):
        outcome = "agrees" if row.difference is None else "differs as stated"
        return Finding(row.library, outcome, found, row.differs, row.id)
    stated = "agreement" if row.difference is None else f"{row.difference:.4g}"
    return Finding(row.library, "unexpected", found, f"the table states {stated}", row.id)


def as_stated(found: float, stated: float | None) -> bool:
    """Whether a measured difference is the one that the table states; None states agreement."""
    if stated is None:
        return found <= AGREES
    return abs(found - stated) <= STATED * stated
