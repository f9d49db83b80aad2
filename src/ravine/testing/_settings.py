"""Settings at which a rule is checked: its defaults, and the ends of what is allowed."""

import math
from collections.abc import Iterator

from ravine.rules import Rule

Hypers = dict[str, float]
DEFAULTS = "its defaults"


def settings_of(rule: Rule) -> dict[str, Hypers]:
    """Return settings by what is special about them.

    A formula that is right at its defaults may be wrong where a hyper-parameter is 0 or at the
    end of its bounds or space, so each is put there in turn.
    """
    found = {DEFAULTS: dict(rule.hypers)}
    for name in rule.hypers:
        for end in _ends(rule, name):
            found[f"{name}={end:g}"] = {**rule.hypers, name: end}
    return found


def _ends(rule: Rule, name: str) -> Iterator[float]:
    bounds, space = rule.bounds[name], rule.space.get(name)
    if bounds.closed_low and math.isfinite(bounds.low):
        yield bounds.low
    if bounds.closed_high and math.isfinite(bounds.high):
        yield bounds.high
    if space is not None:
        yield space.low
        yield space.high
