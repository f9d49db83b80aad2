"""What is given as a rule, checked before anything reads it."""

from typing import Any

from ravine.core.errors import SettingError
from ravine.rules._rule import Rule


def as_rule(given: Any) -> Rule:
    """Return what was given, which must be a rule.

    Raises:
        SettingError: It is none, such as the name of one.

    >>> as_rule("lion")
    Traceback (most recent call last):
    ravine.core.errors.SettingError: rule must be a Rule, got 'lion'; write get_rule('lion')
    """
    if isinstance(given, Rule):
        return given
    way = call_of(given) if isinstance(given, str) else "get_rule(name), or a formula with @rule"
    raise SettingError(f"rule must be a Rule, got {given!r}; write {way}")


def call_of(name: str) -> str:
    """Return the call that finds a rule by its name, or by ``name@convention``.

    >>> call_of("adam@lecture")
    "get_rule('adam', 'lecture')"
    """
    return f"get_rule({', '.join(map(repr, filter(None, name.split('@', 1))))})"
