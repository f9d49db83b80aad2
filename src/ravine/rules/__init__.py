"""Update rules, each written once as the textbook formula."""

from ravine.rules import modifiers
from ravine.rules._reference import initial_state, reference_readout, reference_step
from ravine.rules._registry import all_rules, get_rule, load_rules, rule_names
from ravine.rules._rule import Rule, rule
from ravine.rules._trace import Trace, trace
from ravine.rules._vocabulary import (
    absolute,
    exp,
    maximum,
    mean,
    minimum,
    norm,
    sign,
    sqrt,
    total,
    where,
)

__all__ = [
    "Rule",
    "Trace",
    "absolute",
    "all_rules",
    "exp",
    "get_rule",
    "initial_state",
    "load_rules",
    "maximum",
    "mean",
    "minimum",
    "modifiers",
    "norm",
    "reference_readout",
    "reference_step",
    "rule",
    "rule_names",
    "sign",
    "sqrt",
    "total",
    "trace",
    "where",
]
