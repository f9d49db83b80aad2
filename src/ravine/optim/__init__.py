"""Rules as drop-in optimizers for any PyTorch program."""

from ravine.optim._adafactor import Adafactor
from ravine.optim._adam import Adam, Adamax, AdamW, NAdam, RAdam
from ravine.optim._adaptive import Adadelta, Adagrad, RMSprop
from ravine.optim._armijo import ArmijoGradientDescent
from ravine.optim._descent import ASGD, SGD, Rprop, SignSGD
from ravine.optim._from_rule import from_rule
from ravine.optim._layerwise import LAMB, LARS, NovoGrad
from ravine.optim._lbfgs import LBFGS
from ravine.optim._levenberg_marquardt import LevenbergMarquardt
from ravine.optim._muon import Muon
from ravine.optim._muon_with_adamw import MuonWithAdamW
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._rate_free import (
    DAdaptAdam,
    DAdaptSGD,
    Prodigy,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)
from ravine.optim._recent import ADOPT, AdaBelief, Adan, AdEMAMix, Lion, Yogi
from ravine.optim._shampoo import Shampoo
from ravine.optim._soap import SOAP
from ravine.optim._trust_region import NewtonTrustRegion
from ravine.optim._wrappers import SAM, Lookahead

__all__ = [
    "ADOPT",
    "ASGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "SAM",
    "SGD",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "ArmijoGradientDescent",
    "DAdaptAdam",
    "DAdaptSGD",
    "LevenbergMarquardt",
    "Lion",
    "Lookahead",
    "Muon",
    "MuonWithAdamW",
    "NAdam",
    "NewtonTrustRegion",
    "NovoGrad",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "RuleOptimizer",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Shampoo",
    "SignSGD",
    "Yogi",
    "from_rule",
]
