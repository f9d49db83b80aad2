"""Which rules the groups of an optimizer ask for, worked out again where a setting has changed."""

from collections.abc import Callable, Sequence
from operator import is_
from typing import NamedTuple

from ravine.optim._groups import KEYS_OF_TORCH, Group, check_number, check_numbers, check_values
from ravine.optim._precision import PRECISION, check_precision
from ravine.rules import Rule

_CONSTANT = (bool, int, float, str, type(None))
_NO_NUMBERS = (*KEYS_OF_TORCH, *PRECISION, "maximize")


class Asking(NamedTuple):
    """Groups that ask for one rule.

    Args:
        rule: The rule.
        groups: The groups; the same list as long as none has changed a setting other than ``lr``.
        plain: Whether none of them stores weights or states in few bits.
    """

    rule: Rule
    groups: list[Group]
    plain: bool


class Asked:
    """What groups asked for at the last step.

    Args:
        rule_of: From a group to its rule, whatever its ``lr``.
    """

    def __init__(self, rule_of: Callable[[Group], Rule]) -> None:
        self._rule_of = rule_of
        self._groups: list[Group] = []
        self._copies: list[Group] = []
        self._found: list[Asking] = []

    def by(self, groups: Sequence[Group]) -> list[Asking]:
        """Return the rules that groups ask for now, in the order of their first groups.

        Raises:
            SettingError: When a group has a setting that no step can take; before any rule steps.
        """
        if not self._same(groups):
            self._ask(groups)
        return self._found

    def _same(self, groups: Sequence[Group]) -> bool:
        if len(groups) != len(self._copies) or not all(map(is_, groups, self._groups)):
            return False
        for group, copy in zip(groups, self._copies, strict=True):
            # Lists of parameters must not be compared: their tensors would be.
            if group["params"] is not copy["params"]:
                return False
            if "lr" in group:
                copy["lr"] = rate = group["lr"]
                if type(rate) is not float:
                    check_number("lr", rate)
            if not _equal(group, copy):
                return False
        return True

    def _ask(self, groups: Sequence[Group]) -> None:
        self._groups, self._copies = list(groups), []
        by_rule: dict[Rule, list[Group]] = {}
        for group in groups:
            check_values({name: v for name, v in group.items() if name not in _NO_NUMBERS})
            by_rule.setdefault(self._rule_of(group), []).append(group)
        self._found = [
            Asking(rule, asking, not any(name in group for group in asking for name in PRECISION))
            for rule, asking in by_rule.items()
        ]
        for rule, asking, _ in self._found:
            for group in asking:
                check_numbers(group, rule)
                check_precision(rule, group)
        if all(map(_constant, groups)):
            self._copies = [dict(group) for group in groups]


def _equal(group: Group, copy: Group) -> bool:
    try:
        return group == copy
    except (RuntimeError, ValueError):  # a setting has become an array of several numbers
        return False


def _constant(group: Group) -> bool:
    """Whether no setting but ``lr`` can change its value in place."""
    return all(
        isinstance(item, _CONSTANT)
        for name, value in group.items()
        if name not in ("params", "param_names", "lr")
        for item in (value if type(value) is tuple else (value,))
    )
