"""Which optimizers a rule is compared with: ours, torch's, and those of other libraries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import torch

import ravine.optim
from ravine.kernels import lower
from ravine.optim import from_rule
from ravine.rules import Rule, get_rule, rule_names

FLOAT = 4  # bytes

# A function from parameters to an optimizer.
Maker = Callable[[Any], Any]


@dataclass(frozen=True)
class InTorch:
    """A rule as a class of torch, and of the same name and arguments in `ravine.optim`.

    Args:
        class_name: of the optimizer.
        arguments: beside the defaults.
        at_least: ratio to torch's fastest way to reach; None where the row only informs.
        fused: whether torch has a fused CPU step for it.
    """

    class_name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    at_least: float | None = None
    fused: bool = False


IN_TORCH = {
    "sgd": InTorch("SGD", {"lr": 1e-3}, fused=True),
    "momentum": InTorch("SGD", {"lr": 1e-3, "momentum": 0.9}, fused=True),
    "nesterov": InTorch("SGD", {"lr": 1e-3, "momentum": 0.9, "nesterov": True}, fused=True),
    "asgd": InTorch("ASGD"),
    "rprop": InTorch("Rprop"),
    "adagrad": InTorch("Adagrad", fused=True),
    "adadelta": InTorch("Adadelta", at_least=3),
    "rmsprop": InTorch("RMSprop", at_least=2.5),
    "rmsprop_centred": InTorch("RMSprop", {"centered": True}),
    "rmsprop_momentum": InTorch("RMSprop", {"momentum": 0.9}),
    "rmsprop_centred_momentum": InTorch("RMSprop", {"centered": True, "momentum": 0.9}),
    "adam": InTorch("Adam", fused=True),
    "amsgrad": InTorch("Adam", {"amsgrad": True}, fused=True),
    "adamw": InTorch("AdamW", fused=True),
    "adamax": InTorch("Adamax", at_least=1.8),
    "nadam": InTorch("NAdam", at_least=2.5),
    "radam": InTorch("RAdam", at_least=2.5),
}
FUSED_AT_LEAST = 1.05

# Library, module, class and arguments: every way it has to step on a CPU.
_FOREACH = ({"foreach": True}, {"foreach": False})
ELSEWHERE = {
    "lion": [
        *(("torch-optimi", "optimi", "Lion", {"lr": 1e-4} | way) for way in _FOREACH),
        *(("pytorch-optimizer", "pytorch_optimizer", "Lion", way) for way in _FOREACH),
        ("lion-pytorch", "lion_pytorch", "Lion", {}),
    ],
    "adan": [
        *(
            ("torch-optimi", "optimi", "Adan", {"lr": 1e-3, "weight_decay": 0.0} | way)
            for way in _FOREACH
        ),
        *(("pytorch-optimizer", "pytorch_optimizer", "Adan", way) for way in _FOREACH),
    ],
    "adabelief": [("pytorch-optimizer", "pytorch_optimizer", "AdaBelief", way) for way in _FOREACH],
}
ELSEWHERE_AT_LEAST = 3

# SAM needs a closure: what it takes is the second gradient. Lookahead as a class wraps another
# optimizer; here it is the rule around Adam.
LEFT_OUT = ("sam",)
_AS_RULES = ("lookahead",)


def compared() -> list[str]:
    """Return the names of all rules that are measured, elementwise ones first."""
    names = [name for name in rule_names() if name not in LEFT_OUT]
    return sorted(names, key=lambda name: not elementwise(get_rule(name)))


def elementwise(rule: Rule) -> bool:
    """Whether a rule updates each weight without sums over others."""
    return not lower(rule).sums


def moves(rule: Rule) -> int:
    """Return the bytes per parameter a step must move: read w, g and states, write w and states.

    A rule with sums over weights needs some of them once more, which is not counted.
    """
    return FLOAT * (2 + len(rule.state) + 1 + len(rule.state))


def ours(name: str) -> Maker:
    """Return our optimizer of a rule: the class a user would take."""
    if name in _AS_RULES:
        return from_rule(get_rule(name))
    known = IN_TORCH.get(name)
    if known:
        return partial(getattr(ravine.optim, known.class_name), **known.arguments)
    classes = {one.lower(): one for one in ravine.optim.__all__}
    return partial(getattr(ravine.optim, classes[name.replace("_", "")]))


def torch_ways(known: InTorch) -> dict[str, Maker]:
    """Return torch's ways to step, by name."""
    found = {
        "torch for-loop": {"foreach": False},
        "torch foreach": {"foreach": True},
    }
    if known.fused:
        found["torch fused"] = {"fused": True}
    one = getattr(torch.optim, known.class_name)
    return {way: partial(one, **known.arguments, **extra) for way, extra in found.items()}


def other_ways(name: str) -> dict[str, dict[str, Maker] | str]:
    """Return each other library's ways to step, or why it cannot run."""
    found: dict[str, dict[str, Maker] | str] = {}
    for library, module, class_name, arguments in ELSEWHERE.get(name, []):
        try:
            made = partial(getattr(import_module(module), class_name), **arguments)
        except ModuleNotFoundError as error:
            found[library] = f"not installed ({error.name})"
        else:
            ways = found.setdefault(library, {})
            assert isinstance(ways, dict)
            ways[f"{library}{_way(arguments)}"] = made
    return found


def _way(arguments: Mapping[str, Any]) -> str:
    if "foreach" not in arguments:
        return ""
    return " foreach" if arguments["foreach"] else " for-loop"
