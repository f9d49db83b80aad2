"""One row of the table: a rule, the same algorithm in another library, and what to expect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from ravine.rules import Rule, get_rule, modifiers, rule_names

# Away from every default, so that a term that is dropped or misplaced shows; sums of few powers
# of two, because HeavyBall holds them in single precision.
HARD = {
    **{"lr": 1 / 32, "weight_decay": 1 / 8, "eps": 1 / 1024, "mu": 7 / 8, "dampening": 1 / 4},
    **{"beta": 15 / 16, "beta1": 7 / 8, "beta2": 31 / 32, "rho": 7 / 8, "lr_decay": 1 / 16},
    **{"initial_accumulator_value": 1 / 4},
}
AGREES = 1e-10

Make = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Library:
    """A library that has optimizers of its own.

    Args:
        name: What the table calls it.
        module: Where its optimizers are imported from.
        distribution: What pip installs.
        tested: The version that the table was measured with.
        kind: ``"torch"`` where they are ``torch.optim.Optimizer``s, ``"optax"`` where they are
            gradient transformations.
    """

    name: str
    module: str
    distribution: str
    tested: str
    kind: str = "torch"

    @property
    def installed(self) -> bool:
        """Whether it can be imported."""
        return find_spec(self.module.partition(".")[0]) is not None

    @property
    def version(self) -> str:
        """The installed version, without a build's label."""
        return version(self.distribution).partition("+")[0]


LIBRARIES = {
    library.name: library
    for library in (
        Library("torch.optim", "torch.optim", "torch", "2.13.0"),
        Library("optax", "optax", "optax", "0.2.8", kind="optax"),
        Library("pytorch-optimizer", "pytorch_optimizer", "pytorch-optimizer", "4.1.0"),
        Library("torch-optimi", "optimi", "torch-optimi", "0.3.3"),
        Library("heavyball", "heavyball", "heavyball", "3.2.1"),
        Library("schedulefree", "schedulefree", "schedulefree", "1.4.1"),
        Library("prodigyopt", "prodigyopt", "prodigyopt", "1.1.2"),
        Library("dadaptation", "dadaptation", "dadaptation", "3.2"),
        Library("lion-pytorch", "lion_pytorch", "lion-pytorch", "0.2.5"),
    )
}


@dataclass(frozen=True)
class Peer:
    """The same algorithm in another library.

    Args:
        rule: Name of Ravine's rule, or of its class where the rule is a matrix method.
        library: Name of the library.
        make: ``(library, params, hypers) -> optimizer`` at the same settings. What it calls is
            what the documentation prints.
        convention: The rule's convention; its default when empty.
        modifiers: Names of the modifiers around the rule, the innermost first.
        settings: Values that differ from `HARD`.
        difference: Largest difference between the two paths, relative to the largest weight of
            its tensor; None where they agree.
        differs: Why they differ, or what to mind where they agree, in a sentence.
        shapes: Shapes of the weights; the run's own when empty.
        ours: The class of `ravine.optim`, made as ``make`` is, where no rule can be traced.
        readout: Whether the weights compared are those to evaluate, not the stored ones.
        updates: How many gradients and updates make one step of the peer; more than 1 only where
            optax spreads a step over several updates.
        label: Tells two rows of one rule and library apart.
    """

    rule: str
    library: str
    make: Make
    convention: str = ""
    modifiers: tuple[str, ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)
    difference: float | None = None
    differs: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()
    ours: Make | None = None
    readout: bool = False
    updates: int = 1
    label: str = ""

    @property
    def id(self) -> str:
        """Name of the row in tests and tables."""
        return "-".join(part for part in (self.rule, self.label, self.library) if part)

    def modified_rule(self) -> Rule:
        """Return Ravine's rule with its modifiers."""
        rule = get_rule(self.rule, self.convention or None)
        for name in self.modifiers:
            rule = getattr(modifiers, name)(rule)
        return rule

    def traced(self) -> bool:
        """Whether Ravine's side is a rule, and not torch code."""
        return self.ours is None and self.rule in rule_names()

    def hypers(self) -> dict[str, float]:
        """Return the settings of both sides by the formula's names."""
        wanted = {**HARD, **self.settings}
        if not self.traced():
            return wanted
        rule = self.modified_rule()
        return rule.check({name: v for name, v in wanted.items() if name in rule.hypers})

    def call(self) -> str:
        """Return the call that makes the peer's optimizer, with the formula's names as values.

        >>> Peer("sgd", "torch.optim", lambda lib, w, h: lib.SGD(w, lr=h.lr)).call()
        'SGD(params, lr=lr)'
        """
        return repr(self.make(_Printed(""), _Text("params"), _Names()))


def values(hypers: Mapping[str, Any]) -> SimpleNamespace:
    """Return hyper-parameters as attributes, as `Peer.make` reads them."""
    return SimpleNamespace(**hypers)


class _Text:
    """Stands for a value and prints as its name."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __rsub__(self, other: object) -> "_Text":
        return _Text(f"{other!r} - {self.text}")

    def __truediv__(self, other: object) -> "_Text":
        return _Text(f"{self.text} / {other!r}")

    def __mul__(self, other: object) -> "_Text":
        return _Text(f"{self.text} * {other!r}")

    def __pow__(self, other: object) -> "_Text":
        return _Text(f"{self.text}**{other!r}")

    def __neg__(self) -> "_Text":
        return _Text(f"-{self.text}")


class _Names:
    """Stands for the hyper-parameters: each prints as its name."""

    def __getattr__(self, name: str) -> _Text:
        return _Text(name)


class _Printed:
    """Stands for a library: what is called in it prints as the call."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> "_Printed":
        return _Printed(f"{self._path}.{name}" if self._path else name)

    def __call__(self, *given: Any, **named: Any) -> _Text:
        parts = [*map(repr, given), *(f"{k}={v!r}" for k, v in named.items())]
        return _Text(f"{self._path}({', '.join(parts)})")

    def __repr__(self) -> str:
        return self._path


def named(hypers: Any, names: str) -> dict[str, Any]:
    """Return the arguments that the peer calls by the formula's names.

    >>> named(values({"lr": 0.1, "eps": 1e-8, "mu": 0.9}), "lr eps")
    {'lr': 0.1, 'eps': 1e-08}
    """
    return {name: getattr(hypers, name) for name in names.split()}
