"""Every oracle by name and convention, in the order of the library."""

from typing import NamedTuple

from tests.reference import adam_family as adams
from tests.reference import adaptive, conventions, descent, layerwise, matrix, rate_free, recent
from tests.reference import schedule_free as free
from tests.reference.closures import (
    gradient_descent_armijo,
    levenberg_marquardt,
    newton_trust_region,
)
from tests.reference.lbfgs import lbfgs
from tests.reference.soap import soap
from tests.reference.stepping import Arrays, Step, each, together
from tests.reference.wrappers import lookahead, sam


class Oracle(NamedTuple):
    """A step, and the entry of the state that is to be evaluated where it is not `w`."""

    step: Step
    readout: str | None = None

    def read(self, ws: Arrays, state: dict) -> Arrays:
        """Return the weights to evaluate after a step."""
        if self.readout is None:
            return ws
        return state.get(self.readout) or [slot[self.readout] for slot in state["slots"]]


def _same(names, convention, module):
    return {(name, convention): Oracle(each(getattr(module, name))) for name in names}


ORACLES: dict[tuple[str, str], Oracle] = {
    **_same(["sgd", "momentum", "nesterov", "rprop"], "torch", descent),
    ("asgd", "torch"): Oracle(each(descent.asgd), "ax"),
    **_same(["signsgd"], "paper", descent),
    ("signsgd", "signum"): Oracle(each(conventions.signum)),
    ("sgd", "lecture"): Oracle(each(descent.sgd)),
    ("momentum", "lecture"): Oracle(each(descent.momentum_lecture)),
    ("momentum", "textbook"): Oracle(each(descent.momentum_textbook)),
    ("nesterov", "lecture"): Oracle(each(descent.nesterov_lecture), "weights"),
    **_same(["adagrad", "adadelta", "rmsprop"], "torch", adaptive),
    **_same(["rmsprop_centred", "rmsprop_momentum"], "torch", adaptive),
    **_same(["rmsprop_centred_momentum"], "torch", adaptive),
    **_same(["adadelta", "rmsprop"], "lecture", adaptive),
    ("adagrad", "lecture"): Oracle(each(adaptive.adagrad_lecture)),
    **_same(["adam", "amsgrad", "adamw", "adamax", "nadam", "radam"], "torch", adams),
    **_same(["adam", "adamw"], "lecture", adams),
    **_same(["adabelief", "yogi"], "paper", adams),
    **_same(["lion", "adan", "adopt", "ademamix"], "paper", recent),
    **_same(["novograd", "lars", "lamb"], "paper", layerwise),
    ("schedule_free_sgd", "paper"): Oracle(each(free.schedule_free_sgd), "x"),
    ("schedule_free_adamw", "paper"): Oracle(each(free.schedule_free_adamw), "x"),
    ("dadapt_sgd", "paper"): Oracle(together(rate_free.dadapt_sgd)),
    ("dadapt_adam", "paper"): Oracle(together(rate_free.dadapt_adam)),
    ("prodigy", "paper"): Oracle(together(rate_free.prodigy)),
    ("sam", "paper"): Oracle(sam(each(descent.momentum))),
    ("lookahead", "paper"): Oracle(lookahead(each(adams.adam)), "slow"),
    **_same(["adafactor", "muon"], "torch", matrix),
    **_same(["muon_with_adamw", "shampoo"], "paper", matrix),
    ("soap", "paper"): Oracle(each(soap)),
    **{
        (name, convention): Oracle(each(getattr(conventions, f"{name}_{convention}")))
        for name, convention in [
            ("rprop", "paper"),
            ("adagrad", "optax"),
            ("rmsprop", "optax"),
            ("adam", "tensorflow"),
            ("adam", "optax"),
            ("amsgrad", "paper"),
            ("amsgrad", "optax"),
            ("nadam", "paper"),
            ("nadam", "optax"),
            ("radam", "paper"),
            ("radam", "optax"),
            ("yogi", "optax"),
            ("novograd", "nvidia"),
            ("lars", "nesterov"),
            ("lars", "optax"),
        ]
    },
    ("novograd", "optax"): Oracle(each(layerwise.novograd)),
}

# Methods that ask a problem for values as often as they need: `(w, problem, state, **hypers)`.
CLOSURES = {
    ("gradient_descent_armijo", "paper"): gradient_descent_armijo,
    ("newton_trust_region", "paper"): newton_trust_region,
    ("levenberg_marquardt", "paper"): levenberg_marquardt,
    ("lbfgs", "torch"): lbfgs,
}
