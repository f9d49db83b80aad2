"""The contract of a rule: what every formula must hold before it is trusted."""

from collections.abc import Callable

import numpy as np

from ravine.core.errors import SettingError
from ravine.kernels import latex, lower
from ravine.rules import Rule, trace
from ravine.rules._as_rule import as_rule
from ravine.testing import _behaviour, _numeric
from ravine.testing._require import require
from ravine.testing._settings import settings_of


def check_rule(rule: Rule) -> None:
    r"""Check that a rule keeps the contract, and say what is wrong where it does not.

    The formula traces, prints as LaTeX, and uses every hyper-parameter; defaults lie within
    bounds and space; the compiled kernel equals the formula at its defaults and at the ends of
    its bounds and spaces, in float64 and float32, from the first step on; every weight of an
    elementwise formula equals plain arithmetic with numbers; NaN stays NaN and stays where it is;
    models in one launch do not touch each other; states keep their shapes; readout and ascent
    fit the weights.

    A formula that branches in Python traces to one of its branches only: comparing numbers finds
    it, because the formula itself takes the other.

    Args:
        rule: The rule, modifiers included.

    Raises:
        AssertionError: Naming the rule, the setting and the step of the first violation.
        SettingError: It is no rule.

    In a test file it is one line per rule:

    >>> from ravine.rules import rule
    >>> @rule(state=("m",), bounds={"beta": "[0, 1)"})
    ... def averaged(w, g, m, *, lr=0.1, beta=0.9):
    ...     m = beta * m + (1 - beta) * g
    ...     return w - lr * m, m
    >>> check_rule(averaged)

    >>> def is_first(t):
    ...     return t == 1
    >>> @rule(state=("m",))
    ... def started(w, g, m, *, t, lr=0.1):
    ...     m = g if is_first(t) else 0.9 * m + 0.1 * g
    ...     return w - lr * m, m
    >>> check_rule(started)
    Traceback (most recent call last):
    AssertionError: started: the kernel differs from the formula at step 1 ...
    """
    as_rule(rule)
    for check in _CHECKS:
        check(rule)


def _traces(rule: Rule) -> None:
    """The formula can be called with symbols, and compiled and printed from what it gives."""
    try:
        traced = trace(rule)
        lower(rule)
        lines = latex(rule)
    except SettingError as error:
        raise AssertionError(str(error)) from error
    new = {**traced.results, **traced.scalars}
    # What stays as it is, such as a copy of the first weights, needs no line.
    missing = {name for name in ("w", *rule.kept) if new[name].args} - lines.keys()
    require(not missing, rule, f"no LaTeX is printed for {', '.join(sorted(missing))}")


def _uses_every_hyper(rule: Rule) -> None:
    """A hyper-parameter without effect would be tuned in vain."""
    if rule.readout is not None or rule.ascent is not None:
        return  # they may use what the update does not
    traced = trace(rule)
    results = (*traced.results.values(), *traced.scalars.values())
    used = {str(symbol) for value in results for symbol in value.free_symbols}
    unused = [name for name in rule.hypers if name not in used | set(rule.init.values())]
    require(not unused, rule, f"{', '.join(unused)} has no effect on the formula; leave it out")


def _declared(rule: Rule) -> None:
    """Defaults can be searched for, and what is searched is allowed."""
    for name, space in rule.space.items():
        default = rule.hypers[name]
        inside = space.low <= default <= space.high
        require(inside, rule, f"the default {default:g} of {name} lies outside its space {space}")
        for end in (space.low, space.high):
            try:
                rule.bounds[name].check(name, end)
            except SettingError as error:
                raise AssertionError(f"{rule.name}: the space of {name}: {error}") from error
    for name, default in rule.hypers.items():
        require(np.isfinite(default), rule, f"the default of {name} must be finite, got {default}")
    require(len(settings_of(rule)) > 0, rule, "no setting lies within its bounds")


_CHECKS: tuple[Callable[[Rule], None], ...] = (
    _traces,
    _uses_every_hyper,
    _declared,
    # Before anything is compiled.
    _behaviour.keeps_shapes,
    _behaviour.readout_and_ascent_fit,
    _numeric.numbers_equal_formula,
    _numeric.kernel_equals_formula,
    _behaviour.nan_stays,
    _behaviour.models_do_not_touch,
)
