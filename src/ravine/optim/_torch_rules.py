"""Which rule a group of settings asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from ravine.core.errors import SettingError
from ravine.kernels import lower
from ravine.optim._groups import Group
from ravine.rules import Rule, get_rule, modifiers, where


@dataclass(frozen=True)
class Named:
    """The rule of one name, with the decay and direction that the group asks for.

    Args:
        name: Of the rule.
        decay: Modifier of a ``weight_decay`` other than 0; None where the formula has its own.
        convention: Of the rule; its default when None.
    """

    name: str
    decay: str | None = "weight_decay"
    convention: str | None = None

    def __call__(self, group: Group) -> Rule:
        decoupled = group.get("decoupled_weight_decay")
        decay = "decoupled_weight_decay" if decoupled else self.decay
        return modified(self.name, group, decay, self.convention)


def sgd_rule(group: Group) -> Rule:
    """Return the rule of a group of `SGD`."""
    if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
        raise SettingError(
            "nesterov=True must come with momentum > 0 and dampening = 0, got"
            f" momentum={group['momentum']}, dampening={group['dampening']}"
        )
    name = "nesterov" if group["nesterov"] else "momentum" if group["momentum"] != 0 else "sgd"
    return modified(name, group)


def signsgd_rule(group: Group) -> Rule:
    """Return the rule of a group of `SignSGD`."""
    convention = "signum" if group["momentum"] != 0 else "paper"
    return modified("signsgd", group, "decoupled_weight_decay", convention)


def rmsprop_rule(group: Group) -> Rule:
    """Return the rule of a group of `RMSprop`."""
    name = "rmsprop_centred" if group["centered"] else "rmsprop"
    return modified(f"{name}_momentum" if group["momentum"] != 0 else name, group)


def adam_rule(group: Group) -> Rule:
    """Return the rule of a group of `Adam` or `AdamW`."""
    if group["foreach"]:  # as in torch, whose users may rely on the error
        _check_no_tensor(group)
    decay = "decoupled_weight_decay" if group["decoupled_weight_decay"] else "weight_decay"
    return modified("amsgrad" if group["amsgrad"] else "adam", group, decay)


def can_be_captured(parameters: Sequence[Tensor]) -> bool:
    """Whether steps of parameters, after their first, can be captured in a CUDA graph."""
    return all(p.is_cuda for p in parameters) and find_spec("triton") is not None


def lars_rule(group: Group) -> Rule:
    """Return the rule of a group of `LARS`."""
    return modified("lars", group, None, "nesterov" if group["nesterov"] else "paper")


def modified(
    name: str, group: Group, decay: str | None = "weight_decay", convention: str | None = None
) -> Rule:
    """Return a rule with the decay and direction that a group asks for.

    Raises:
        SettingError: When the group asks for what no rule here does.
    """
    # Here and not only in the constructor: a loaded checkpoint brings its own settings.
    if group.get("differentiable"):
        raise SettingError("differentiable must be False, got True; use torch.optim for it")
    if group.get("capturable") and not can_be_captured(group["params"]):
        raise SettingError(
            "capturable must be False, got True, where parameters are not on a CUDA device with"
            " Triton installed; use torch.optim for it"
        )
    rule = get_rule(name, convention)
    # Where one looks at the whole model, groups without decay must share the rule of the others.
    if decay and (_looks_at_model(rule) or group.get("weight_decay", 0) != 0):
        rule = around(rule, getattr(modifiers, decay))
    return turned(rule, group)


def turned(rule: Rule, group: Group) -> Rule:
    """Return a rule with the direction that a group asks for.

    Raises:
        SettingError: When ``maximize`` is neither a bool nor None.
    """
    check_direction(group)
    # For the same reason the direction of such rules is a setting, which the kernel reads.
    if "maximize" in group and _looks_at_model(rule):
        group["maximize"] = bool(group["maximize"])  # it reads numbers, and None is none
        return around(rule, _directed)
    return around(rule, modifiers.maximize) if group.get("maximize") else rule


def check_direction(group: Group) -> None:
    """Raise SettingError when ``maximize`` is neither a bool nor None, which is False."""
    given = group.get("maximize")
    if given is not None and not isinstance(given, bool):
        raise SettingError(f"maximize must be True, False or None, got {given!r}")


@lru_cache(maxsize=256)
def around(rule: Rule, modifier: Callable[[Rule], Rule], name: str | None = None) -> Rule:
    """Return a rule with a modifier around it, under another name if one is given."""
    # Kernels are cached by rule, so the same composition must be the same object.
    made = modifier(rule)
    return made if name is None else replace(made, name=name)


def _directed(rule: Rule) -> Rule:
    """Return a rule that ascends where its setting ``maximize`` is not 0."""
    inner, climb = rule.function, rule.ascent

    def step(w: Any, g: Any, *kept: Any, maximize: Any, **numbers: Any) -> Any:
        return inner(w, g * where(maximize > 0, -1.0, 1.0), *kept, **numbers)

    def ascent(w: Any, g: Any, *, maximize: Any, **numbers: Any) -> Any:
        assert climb is not None
        return climb(w, g * where(maximize > 0, -1.0, 1.0), **numbers)

    return rule.wrapped(step, ascent=None if climb is None else ascent, maximize=(0.0, "[0, 1]"))


@lru_cache(maxsize=256)
def _looks_at_model(rule: Rule) -> bool:
    """Whether a rule looks at all tensors of a model together."""
    program = lower(rule)
    over = (*program.sums.values(), *program.scalars.values())
    return rule.ascent is not None or "member" in over


def _check_no_tensor(group: Group) -> None:
    betas = group["betas"] if isinstance(group["betas"], tuple | list) else []
    for name, value in [("lr", group["lr"]), *((f"betas[{i}]", b) for i, b in enumerate(betas))]:
        if isinstance(value, Tensor):
            raise SettingError(
                f"{name} as a Tensor is not supported for capturable=False and foreach=True;"
                " leave foreach out"
            )
