"""Update rules, each written once as the textbook formula."""

from ravine.rules import modifiers
from ravine.rules._bounds import Bounds
from ravine.rules._reference import initial_state, reference_readout, reference_step
from ravine.rules._registry import all_rules, get_rule, load_rules, rule_names
from ravine.rules._rule import Rule, ascent_rule, rule
from ravine.rules._space import Range
from ravine.rules._trace import Trace, trace
from ravine.rules._vocabulary import (
    absolute,
    exp,
    floor,
    log,
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
    "Bounds",
    "Range",
    "Rule",
    "Trace",
    "absolute",
    "all_rules",
    "ascent_rule",
    "exp",
    "floor",
    "get_rule",
    "initial_state",
    "load_rules",
    "log",
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
