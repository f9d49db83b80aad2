"""Any rule as an optimizer class."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ravine.core.errors import SettingError
from ravine.kernels import lower
from ravine.optim._groups import Group, check_tuples, check_values
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._precision import PRECISION
from ravine.rules import Rule
from ravine.rules._as_rule import as_rule


def from_rule(rule: Rule) -> Callable[..., RuleOptimizer]:
    """Return a function that makes an optimizer of a rule.

    Args:
        rule: The rule, modifiers included.

    Returns:
        ``make(params, **hypers)``: hyper-parameters by the formula's names or their aliases,
        ``betas=(0.9, 0.99)`` among them where the aliases say so; those not given take the rule's
        defaults. Tensors of one element are read anew at every step. Groups hold them by the
        formula's names. Beside them ``state_dtype``, ``param_rounding`` and ``rounding_seed``:
        how states and weights are stored.

    Raises:
        SettingError: When it is no rule, or the formula cannot be traced.

    >>> import torch
    >>> from ravine.rules import get_rule
    >>> weight = torch.nn.Parameter(torch.zeros(3))
    >>> optimizer = from_rule(get_rule("momentum", "lecture"))([weight], gamma=0.5)
    >>> optimizer.param_groups[0]["gamma"]
    0.5
    """
    lower(as_rule(rule))

    def make(params: Any, **settings: Any) -> RuleOptimizer:
        precision = {name: settings.pop(name) for name in PRECISION if name in settings}
        return RuleOptimizer(params, _defaults(rule, settings) | precision, Always(rule))

    return make


def _defaults(rule: Rule, settings: Group) -> Group:
    """Return every hyper-parameter by the formula's name; tensors stay what they are."""
    check_values(settings)
    check_tuples(rule, settings)
    given = _spread(rule, settings)
    numbers = {n: float(v) if isinstance(v, Tensor) else v for n, v in given.items()}
    checked = rule.check(numbers)
    return checked | {rule.formula_name(n): v for n, v in given.items() if isinstance(v, Tensor)}


def _spread(rule: Rule, settings: Group) -> Group:
    """Return settings with ``betas`` and the like replaced by the formula's names."""
    given = dict(settings)
    for name, alias in rule.aliases.items():
        whole, bracket, index = alias.partition("[")
        if bracket and whole in settings:
            if name in settings:
                raise SettingError(f"{rule.name}: {name} is given twice, also in {whole}")
            given.pop(whole, None)
            given[name] = settings[whole][int(index[:-1])]
    return given


class Always:
    """The same rule for every group; a class so that optimizers can be copied."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __call__(self, group: Group) -> Rule:
        return self.rule
