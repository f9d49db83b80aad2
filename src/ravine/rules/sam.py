"""SAM: sharpness-aware minimisation around momentum, as in its paper.

Source: Foret et al. 2021, arXiv:2010.01412, Algorithm 1. Around other rules: `modifiers.sam`.
"""

from dataclasses import replace

from ravine.rules import modifiers
from ravine.rules._space import Range
from ravine.rules.momentum import momentum

sam = replace(
    modifiers.sam(momentum),
    name="sam",
    convention="paper",
    differs="around torch's momentum; the norm is over all tensors, 1e-12 is added to it",
    space={**momentum.space, "rho": Range.parse("log[0.01, 0.5]")},
    paper="Foret et al. 2021, arXiv:2010.01412, Algorithm 1",
)

RULES = (sam,)
