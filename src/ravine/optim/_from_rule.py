"""Any rule as an optimizer class."""

from collections.abc import Callable
from typing import Any

from ravine.kernels import lower
from ravine.optim._groups import Group
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._precision import PRECISION
from ravine.rules import Rule
from ravine.rules._as_rule import as_rule


def from_rule(rule: Rule) -> Callable[..., RuleOptimizer]:
    """Return a function that makes an optimizer of a rule.

    Args:
        rule: The rule, modifiers included.

    Returns:
        ``make(params, **hypers)``: hyper-parameters by the formula's names or their aliases;
        those not given take the rule's defaults. Beside them ``state_dtype``, ``param_rounding``
        and ``rounding_seed``: how states and weights are stored.

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
        return RuleOptimizer(params, rule.check(settings) | precision, Always(rule))

    return make


class Always:
    """The same rule for every group; a class so that optimizers can be copied."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __call__(self, group: Group) -> Rule:
        return self.rule
