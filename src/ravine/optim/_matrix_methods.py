"""The matrix methods as a table: what docs, lists and tests need to know of each."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch.optim import Optimizer

from ravine.optim._adafactor import Adafactor
from ravine.optim._muon import Muon
from ravine.optim._muon_with_adamw import MuonWithAdamW
from ravine.optim._shampoo import Shampoo
from ravine.optim._soap import SOAP


@dataclass(frozen=True)
class Method:
    """An optimizer that is no rule. Formula, source and defaults are read from its class.

    Args:
        name: What users call it.
        optimizer: Its class.
        reason: Why it takes no part in a comparison, to follow "left out because".
        space: Ranges to search its settings in, as a rule declares them.
    """

    name: str
    optimizer: type[Optimizer]
    reason: str
    space: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", MappingProxyType(dict(self.space)))

    @property
    def formula(self) -> str:
        """The formula in LaTeX."""
        return self._found(r"\.\. math:: (.+?)\n\n")

    @property
    def paper(self) -> str:
        """The source."""
        return self._found(r"Source: (.+)\Z").rstrip(".")

    @property
    def defaults(self) -> dict[str, Any]:
        """Default of each argument but the parameters."""
        arguments = inspect.signature(self.optimizer).parameters.values()
        return {a.name: a.default for a in arguments if a.default is not inspect.Parameter.empty}

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, inspect.getdoc(self.optimizer) or "", re.DOTALL)
        return "" if found is None else " ".join(found[1].split())


def table(*methods: Method) -> Mapping[str, Method]:
    """Return methods by their names, read-only."""
    return MappingProxyType({method.name: method for method in methods})


_WHOLE_MATRICES = "whole matrices are multiplied, which a formula per weight cannot say"

MATRIX_METHODS = table(
    Method(
        "adafactor",
        Adafactor,
        "mean squares are sums along rows and columns, which a formula per weight cannot say",
        {"lr": "log[1e-4, 1]", "d": "linear[1, 2]"},
    ),
    Method(
        "muon",
        Muon,
        f"{_WHOLE_MATRICES}, and only matrices are updated",
        {"lr": "log[1e-4, 1]", "momentum": "complement[0.8, 0.99]"},
    ),
    Method(
        "muon_with_adamw",
        MuonWithAdamW,
        _WHOLE_MATRICES,
        {
            "lr": "log[1e-4, 1]",
            "adamw_lr": "log[1e-5, 1e-1]",
            "momentum": "complement[0.8, 0.99]",
        },
    ),
    Method(
        "shampoo",
        Shampoo,
        _WHOLE_MATRICES,
        {"lr": "log[1e-4, 1]", "eps": "log[1e-8, 1e-2]"},
    ),
    Method("soap", SOAP, _WHOLE_MATRICES, {"lr": "log[1e-4, 1]"}),
)
