"""SAM and Lookahead around any rule: by the class of another optimizer, by a rule or its name."""

from dataclasses import dataclass
from typing import Any, final

from ravine.core.errors import SettingError
from ravine.core.numbers import integer
from ravine.optim._descent import SGD
from ravine.optim._from_rule import from_rule
from ravine.optim._groups import Group
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._torch_rules import around, turned
from ravine.rules import Rule, get_rule, modifiers

Base = type[RuleOptimizer] | Rule | str


@final
class SAM(RuleOptimizer):
    """Sharpness-aware minimisation: gradients from where the loss is worst nearby.

    ``step(closure)`` evaluates the model twice: at the weights, and at ``rho`` from them along
    the gradient. BatchNorm sees both passes.

    Args:
        params: Parameters, named parameters or groups of them.
        base: What steps with the second gradient: a class of this module, a rule, or the name of
            a rule.
        rho: Distance of the second gradient's point, >= 0, over all parameters together.
        **settings: Of the base, by the names that it gives them.

    Raises:
        SettingError: When the base does not know a setting, or has one of the name ``rho``.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = SAM([weight], lr=0.1, momentum=0.9)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = weight.square().sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    3.0

    Source: Foret et al. 2021, arXiv:2010.01412, Algorithm 1.
    """

    def __init__(self, params: Any, base: Base = SGD, rho: float = 0.05, **settings: Any) -> None:
        inner = _made(base, settings, "SAM", ["rho"])
        rule_of = Around("sam", inner._rule_of)
        super().__init__(params, inner.defaults | {"rho": rho}, rule_of, counted=inner._counted)


@final
class Lookahead(RuleOptimizer):
    """Slow weights that follow every ``k`` steps, and to which the fast ones go back.

    The slow weights are what `readout` holds.

    Args:
        params: Parameters, named parameters or groups of them.
        base: What makes the fast steps: a class of this module, a rule, or the name of a rule.
        k: Steps between two moves of the slow weights, >= 1.
        alpha: Share of the way that the slow weights go, in (0, 1].
        **settings: Of the base, by the names that it gives them.

    Raises:
        SettingError: When the base does not know a setting, or has one of the name ``k`` or
            ``alpha``.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = Lookahead([weight], base="adam", k=5, lr=0.1)
    >>> weight.grad = torch.ones(3)
    >>> optimizer.step()

    Source: Zhang et al. 2019, arXiv:1907.08610, Algorithm 1.
    """

    def __init__(
        self, params: Any, base: Base = SGD, k: int = 5, alpha: float = 0.5, **settings: Any
    ) -> None:
        inner = _made(base, settings, "Lookahead", ["k", "alpha"])
        defaults = inner.defaults | {"k": k, "alpha": alpha}
        super().__init__(params, defaults, Around("lookahead", inner._rule_of))

    def _check(self, group: Group) -> None:
        integer("k", group["k"], 1)
        super()._check(group)


@dataclass(frozen=True)
class Around:
    """The rule of a group, with a modifier around it."""

    modifier: str
    inner: Any

    def __call__(self, group: Group) -> Rule:
        # Direction comes last, around everything: what climbs for a minimum must descend for a
        # maximum.
        inner = self.inner({name: group[name] for name in group if name != "maximize"})
        # A name of its own, so that errors do not blame the base for what the wrapper lacks.
        name = f"{self.modifier}_around_{inner.name}"
        return turned(around(inner, getattr(modifiers, self.modifier), name), group)


def _made(base: Base, settings: dict[str, Any], name: str, own: list[str]) -> RuleOptimizer:
    """Return the base as an optimizer of nothing, for its rule and its settings."""
    if isinstance(base, str):
        base = get_rule(base)
    if isinstance(base, Rule):
        make: Any = from_rule(base)
    elif isinstance(base, type) and issubclass(base, RuleOptimizer):
        make = base
    else:
        raise SettingError(
            f"base must be a class of ravine.optim, a rule or the name of one, got {base!r}"
        )
    inner: RuleOptimizer = make([{"params": []}], **settings)
    taken = [setting for setting in own if setting in inner.defaults]
    if taken:
        raise SettingError(
            f"{name} and its base both have a setting {taken[0]!r}; use"
            f" from_rule(modifiers.{name.lower()}(rule)), where the base's has its formula's name"
        )
    return inner
