"""Rules as drop-in optimizers for any PyTorch program."""

from ravine.optim._from_rule import from_rule
from ravine.optim._optimizer import RuleOptimizer
from ravine.optim._torch_classes import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "RMSprop",
    "RuleOptimizer",
    "from_rule",
]
