"""AdamW: Adam with decoupled weight decay.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2.
"""

from dataclasses import replace

from ravine.rules.adam import adam, adam_lecture
from ravine.rules.modifiers import decoupled_weight_decay

adamw = replace(
    decoupled_weight_decay(adam),
    name="adamw",
    differs="the decay is multiplied by the scheduled learning rate, not by the schedule alone",
    paper="Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2",
)

adamw_lecture = adamw.variant(
    "lecture", "the same formula and defaults, with lr written eta", aliases=adam_lecture.aliases
)

RULES = (adamw, adamw_lecture)
