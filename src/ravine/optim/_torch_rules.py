"""Which rule a group of torch's settings asks for, and the rule's hyper-parameters from it."""

from functools import lru_cache

from ravine.core.errors import SettingError
from ravine.optim._optimizer import Group
from ravine.rules import Rule, get_rule, modifiers


def sgd_rule(group: Group) -> Rule:
    """Return the rule of a group of `SGD`."""
    if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
        raise SettingError(
            "nesterov=True must come with momentum > 0 and dampening = 0, got"
            f" momentum={group['momentum']}, dampening={group['dampening']}"
        )
    name = "nesterov" if group["nesterov"] else "momentum" if group["momentum"] != 0 else "sgd"
    return _modified(name, group)


def adagrad_rule(group: Group) -> Rule:
    """Return the rule of a group of `Adagrad`."""
    return _modified("adagrad", group)


def adadelta_rule(group: Group) -> Rule:
    """Return the rule of a group of `Adadelta`."""
    return _modified("adadelta", group)


def rmsprop_rule(group: Group) -> Rule:
    """Return the rule of a group of `RMSprop`."""
    name = "rmsprop_centred" if group["centered"] else "rmsprop"
    return _modified(f"{name}_momentum" if group["momentum"] != 0 else name, group)


def adam_rule(group: Group) -> Rule:
    """Return the rule of a group of `Adam` or `AdamW`."""
    betas = group["betas"]
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise SettingError(f"betas must be two numbers, got {betas!r}")
    decay = "decoupled_weight_decay" if group["decoupled_weight_decay"] else "weight_decay"
    return _modified("amsgrad" if group["amsgrad"] else "adam", group, decay)


def torch_hypers(group: Group, rule: Rule) -> dict[str, float]:
    """Return a group's values under the formula's names."""
    values = {}
    for name in rule.hypers:
        alias = rule.aliases.get(name, name)
        if alias.startswith("betas["):
            values[name] = float(group["betas"][int(alias[6])])
        else:
            values[name] = float(group[alias])
    return values


def _modified(name: str, group: Group, decay: str = "weight_decay") -> Rule:
    # Here and not only in the constructor: a loaded checkpoint brings its own settings.
    for refused in ("capturable", "differentiable"):
        if group.get(refused):
            raise SettingError(f"{refused} must be False, got True; use torch.optim for it")
    chosen = [decay] if group["weight_decay"] != 0 else []
    return _composed(name, *chosen, *(["maximize"] if group["maximize"] else []))


@lru_cache(maxsize=64)
def _composed(name: str, *modifications: str) -> Rule:
    # Kernels are cached by rule, so the same composition must be the same object.
    rule = get_rule(name)
    for modification in modifications:
        rule = getattr(modifiers, modification)(rule)
    return rule
