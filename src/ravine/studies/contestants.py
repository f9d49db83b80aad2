"""Who competes: optimizers by name or rule, with the settings that hold for the whole study."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ravine.core.errors import SettingError, unknown
from ravine.optim._closures_methods import CLOSURE_METHODS
from ravine.optim._matrix_methods import MATRIX_METHODS
from ravine.rules import Rule, all_rules, get_rule, rule_names
from ravine.studies.storage import TRIAL_COLUMNS

# The rules a study compares unless told: those every course teaches.
DEFAULT_OPTIMIZERS = (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "adadelta",
    "rmsprop",
    "adam",
    "adamw",
)

# Optimizers that are no rules, with the reason why they take no part.
_METHODS = {**MATRIX_METHODS, **CLOSURE_METHODS}
# In place of names: every rule there is.
ALL = "all"


@dataclass(frozen=True)
class Contestant:
    """One optimizer of a study.

    Args:
        name: Unique in the study: the rule's name, or ``name@convention`` when given so.
        rule: The formula.
        hypers: Value of every hyper-parameter; ``lr`` is replaced by each rate tried.
        standard: Whether the rule is one of Ravine's own, which may set the target.
    """

    name: str
    rule: Rule
    hypers: Mapping[str, float]
    standard: bool


def contestants(
    optimizers: Sequence[str | Rule],
    settings: Mapping[str, float] | None = None,
    own: Mapping[str, Rule] | None = None,
) -> list[Contestant]:
    """Return the contestants of a study, with checked settings.

    Args:
        optimizers: Names (``"adam"``, ``"adam@lecture"``) or rules; ``"all"`` for every rule, in
            its default convention.
        settings: Value per hyper-parameter, by the formula's name or torch's argument. It holds
            for every optimizer that has it; ``"adam.beta1"`` holds for one.
        own: Rules of the user by name, which `optimizers` may name.

    Raises:
        SettingError: When a name or setting is unknown, given twice, unused or out of bounds.

    >>> [one] = contestants(["adam"], {"beta1": 0.8})
    >>> one.hypers["beta1"]
    0.8
    """
    if isinstance(optimizers, str | Rule) or not isinstance(optimizers, Iterable):
        raise SettingError(
            "optimizers must be a list of names or rules, such as ['adam', 'sgd'],"
            f" got {optimizers!r}"
        )
    if not optimizers:
        raise SettingError("optimizers must name at least one, got none")
    _refuse_methods(given for given in optimizers if given not in (own or {}))
    found = [_find(given, own or {}) for given in _spelled_out(optimizers, own or {})]
    _refuse_twice(name for name, _, _ in found)
    shares = _shares({name: rule for name, rule, _ in found}, settings or {})
    return [
        Contestant(name, rule, rule.check(shares[name]), standard) for name, rule, standard in found
    ]


def left_out(optimizers: Sequence[str | Rule]) -> list[str]:
    """Return a sentence per reason why a method is not among ``"all"``; none without ``"all"``."""
    if ALL not in optimizers:
        return []
    return [f"left out: {text}" for text in _reasons(_METHODS)]


def _reasons(names: Iterable[str]) -> list[str]:
    """Return each reason why some of the methods take no part, after their names."""
    reasons: dict[str, list[str]] = {}
    for name in names:
        reasons.setdefault(_METHODS[name].reason, []).append(name)
    return [f"{', '.join(names)}, because {reason}" for reason, names in reasons.items()]


def _spelled_out(optimizers: Sequence[str | Rule], own: Mapping[str, Rule]) -> Iterator[str | Rule]:
    for given in optimizers:
        if given == ALL:
            yield from (*rule_names(), *own)
        else:
            yield given


def _find(given: str | Rule, own: Mapping[str, Rule]) -> tuple[str, Rule, bool]:
    if not isinstance(given, str | Rule):
        raise SettingError(f"optimizers must be names or rules, got {given!r}")
    rule = given if isinstance(given, Rule) else own.get(given) or _registered(given, own)
    standard = any(rule is known for known in all_rules())
    other = standard and rule is not get_rule(rule.name)
    name = f"{rule.name}@{rule.convention}" if other else rule.name
    if clash := sorted(set(rule.hypers) & set(TRIAL_COLUMNS) - {"lr"}):
        raise SettingError(
            f"rule {name}: hyper-parameter {clash[0]!r} has the name of a column of the results;"
            " rename it"
        )
    return name, rule, standard


def _registered(given: str, own: Mapping[str, Rule]) -> Rule:
    name, _, convention = given.partition("@")
    if name not in rule_names():
        raise unknown("optimizer", name, [*rule_names(), ALL, *own])
    return get_rule(name, convention or None)


def _refuse_methods(optimizers: Iterable[str | Rule]) -> None:
    texts = (given.partition("@")[0] for given in optimizers if isinstance(given, str))
    names = [name for name in dict.fromkeys(texts) if name in _METHODS]
    if names:
        classes = ", ".join(f"ravine.optim.{_METHODS[name].optimizer.__name__}" for name in names)
        raise SettingError(
            f"cannot be compared here: {'; '.join(_reasons(names))}; train with {classes}"
        )


def _refuse_twice(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SettingError(f"optimizers must differ, got {name!r} twice")
        seen.add(name)


def _shares(rules: Mapping[str, Rule], settings: Mapping[str, float]) -> dict[str, dict]:
    """Deal each setting to the optimizers that have it."""
    shares: dict[str, dict[str, float]] = {name: {} for name in rules}
    # The general ones first: a setting for one optimizer overrides one for all.
    for key in sorted(settings, key=lambda key: "." in key):
        owner, _, hyper = key.rpartition(".")
        if hyper == "lr":
            raise SettingError(
                f"{key} cannot be set: learning rates are tried, give them with --lr or rates="
            )
        for name in _owners(key, owner, hyper, rules):
            shares[name][rules[name].formula_name(hyper)] = settings[key]
    return shares


def _owners(key: str, owner: str, hyper: str, rules: Mapping[str, Rule]) -> list[str]:
    if owner and owner not in rules:
        raise unknown(f"optimizer in setting {key!r}", owner, rules)
    among = {owner: rules[owner]} if owner else rules
    names = [name for name, rule in among.items() if hyper in _setting_names(rule)]
    if not names:
        known = {known for rule in among.values() for known in _setting_names(rule)}
        raise unknown(f"setting of {owner or 'the optimizers compared'}", hyper, known)
    return names


def _setting_names(rule: Rule) -> set[str]:
    """Return the names a setting may have: the formula's and torch's, all but the rate's."""
    names = {*rule.hypers, *(a for name, a in rule.aliases.items() if name != "lr")}
    return names - {"lr"}
