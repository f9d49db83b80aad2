"""Lookahead around Adam: slow weights that follow the fast ones every few steps.

Source: Zhang et al. 2019, arXiv:1907.08610, Algorithm 1. Around other rules:
`modifiers.lookahead`.
"""

from dataclasses import replace

from ravine.rules import modifiers
from ravine.rules._space import Range
from ravine.rules.adam import adam

lookahead = replace(
    modifiers.lookahead(adam),
    name="lookahead",
    convention="paper",
    differs="around torch's Adam, whose states are kept when the weights are set back; the slow"
    " weights are what is evaluated",
    space={
        **adam.space,
        "alpha": Range.parse("linear[0.2, 0.8]"),
        "sync": Range.parse("linear[5, 20]"),
    },
    paper="Zhang et al. 2019, arXiv:1907.08610, Algorithm 1",
)

RULES = (lookahead,)
