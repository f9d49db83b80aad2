"""The list of rules: names and conventions to rules."""

import copyreg
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pickle import PicklingError

from ravine.core.errors import SettingError, unknown
from ravine.rules import (
    adabelief,
    adadelta,
    adagrad,
    adam,
    adamax,
    adamw,
    adan,
    ademamix,
    adopt,
    amsgrad,
    asgd,
    dadapt_adam,
    dadapt_sgd,
    lamb,
    lars,
    lion,
    lookahead,
    momentum,
    nadam,
    nesterov,
    novograd,
    prodigy,
    radam,
    rmsprop,
    rprop,
    sam,
    schedule_free_adamw,
    schedule_free_sgd,
    sgd,
    signsgd,
    yogi,
)
from ravine.rules._as_rule import call_of
from ravine.rules._rule import Rule
from ravine.rules._trace import trace

# In the order in which a course meets them; lists, tables and the default study keep it.
_MODULES = (
    *(sgd, momentum, nesterov, asgd, signsgd, rprop),
    *(adagrad, adadelta, rmsprop, adam, amsgrad, adamw, adamax, nadam, radam),
    *(adabelief, yogi, lion, adan, adopt, ademamix),
    *(novograd, lars, lamb),
    *(schedule_free_sgd, schedule_free_adamw, dadapt_sgd, dadapt_adam, prodigy),
    *(sam, lookahead),
)
_RULES = {(r.name, r.convention): r for module in _MODULES for r in module.RULES}


def rule_names() -> list[str]:
    """Return the names of the built-in rules.

    >>> rule_names()[:3]
    ['sgd', 'momentum', 'nesterov']
    """
    return list(dict.fromkeys(name for name, _ in _RULES))


def all_rules() -> list[Rule]:
    """Return every built-in rule in every convention."""
    return list(_RULES.values())


def get_rule(name: str, convention: str | None = None) -> Rule:
    """Return a built-in rule.

    Args:
        name: One of `rule_names`.
        convention: One in which the rule is written; by default ``"torch"`` where torch has the
            algorithm, otherwise ``"paper"``.

    Raises:
        SettingError: When the name or the convention is unknown.

    >>> get_rule("momentum", "lecture").hypers["gamma"]
    0.9
    >>> get_rule("lion").convention
    'paper'
    """
    if name not in rule_names():
        raise _no_rule(name)
    conventions = [c for n, c in _RULES if n == name]
    default = "torch" if "torch" in conventions else "paper"
    found = _RULES.get((name, convention or default))
    if found is None:
        raise unknown(f"convention of {name}", str(convention), conventions)
    return found


def _no_rule(name: str) -> SettingError:
    plain = name.partition("@")[0]
    if plain in rule_names():
        return SettingError(f"unknown optimizer {name!r}; write {call_of(name)}")
    return unknown("optimizer", plain, rule_names())


def load_rules(path: str | Path) -> list[Rule]:
    """Return the rules that a Python file defines, in order.

    Raises:
        SettingError: When the file is missing, fails to run, holds no rule, a name is taken, or
            a formula cannot be traced.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise SettingError(f"rules file {path} must be a file; give a Python file with @rule in it")
    if not path.is_file():
        raise SettingError(f"rules file {path} does not exist; give a Python file with @rule in it")
    spec = spec_from_file_location(f"ravine_rules_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SettingError(f"rules file {path} must be a Python file ending in .py")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SettingError(f"rules file {path} fails: {type(error).__name__}: {error}") from error
    built_in = set(map(id, _RULES.values()))
    found = {id(r): r for r in vars(module).values() if isinstance(r, Rule)}
    rules = [r for key, r in found.items() if key not in built_in]
    if not rules:
        raise SettingError(f"rules file {path} defines no rule; decorate a formula with @rule")
    names = [r.name for r in rules]
    taken = [n for i, n in enumerate(names) if n in rule_names() or n in names[:i]]
    if taken:
        raise SettingError(f"rules file {path}: the name {taken[0]!r} is taken; choose another")
    for r in rules:
        trace(r)  # a formula that cannot be traced fails here and not in a study
    return rules


def _pickled(rule: Rule) -> tuple[Callable[..., Rule], tuple[str, str]]:
    # A formula is code, which pickle does not carry: what is carried is the name.
    if _RULES.get((rule.name, rule.convention)) is not rule:
        raise PicklingError(f"{rule!r} is not a built-in rule: save a state_dict() instead")
    return get_rule, (rule.name, rule.convention)


copyreg.pickle(Rule, _pickled)
