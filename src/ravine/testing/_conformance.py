"""Ravine's rules against the stored trajectories and the libraries that are installed."""

from dataclasses import dataclass

from ravine.core.errors import unknown
from ravine.rules import Rule, rule_names
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

    Raises:
        SettingError: When there is no rule of this name.
    """
    if name not in known_names():
        raise unknown("rule", name, known_names())
    golden = (judged_golden(g) for g in all_golden() if g.rule == name)
    return Conformance(name, tuple(golden), tuple(judged(row) for row in PEERS if row.rule == name))


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
