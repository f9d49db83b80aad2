"""What a rule is: a formula as a Python function, and everything declared beside it."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from numbers import Real
from types import MappingProxyType
from typing import Any

from ravine.core.errors import SettingError, unknown
from ravine.rules._bounds import Bounds
from ravine.rules._signature import (
    check_defaults,
    check_known,
    check_label,
    check_symbols,
    signature_hypers,
)

Formula = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Rule:
    """An update formula with its state, hyper-parameters, names and source.

    Args:
        name: What users call it.
        function: ``(w, g, *state, t, **hypers) -> (w, *state)``.
        state: Names of what is kept per weight, in the order of the function's arguments.
        hypers: Default of each hyper-parameter, ``lr`` included.
        convention: Whose variant of the formula this is: ``"torch"``, ``"lecture"``, ``"own"``...
        differs: What this convention does differently, in a sentence.
        bounds: Interval of each hyper-parameter; ``lr`` is positive unless told.
        aliases: Formula name to torch argument (``mu`` to ``momentum``).
        state_aliases: State name to torch's state key (``m`` to ``exp_avg``).
        init: Hyper-parameter that each state starts at; states not named start at 0.
        readout: ``(w, *state, t, **hypers) -> w``: the weights to evaluate, where they are not
            the stored point at which gradients are taken.
        paper: Source of the formula.
    """

    name: str
    function: Formula
    state: tuple[str, ...]
    hypers: Mapping[str, float]
    convention: str = "own"
    differs: str = ""
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    state_aliases: Mapping[str, str] = field(default_factory=dict)
    init: Mapping[str, str] = field(default_factory=dict)
    readout: Formula | None = None
    paper: str = ""

    def __post_init__(self) -> None:
        check_label("name of a rule", self.name)
        check_label(f"convention of {self.name}", self.convention)
        check_defaults(self.name, self.hypers, self.bounds)
        for name in ("hypers", "bounds", "aliases", "state_aliases", "init"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        return f"<rule {self.name}@{self.convention}>"

    def __deepcopy__(self, memo: Any) -> "Rule":
        # Kernels are found by the rule's identity, and a frozen rule needs no copy.
        return self

    def formula_name(self, given: str) -> str:
        """Return the formula's name of a hyper-parameter given by it or by its alias.

        Raises:
            SettingError: When the rule has no such hyper-parameter.
        """
        if given in self.hypers:
            return given
        for name, alias in self.aliases.items():
            if given == alias:
                return name
        raise unknown(f"setting of {self.name}", given, [*self.hypers, *self.aliases.values()])

    def check(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the defaults overridden by checked values.

        Raises:
            SettingError: When a name is unknown or a value lies outside its bounds.
        """
        checked: dict[str, float] = {}
        for given, value in values.items():
            name = self.formula_name(given)
            if name in checked:
                raise SettingError(f"{self.name}: {given} is given twice, also as {name}")
            if not _is_number(value):
                raise SettingError(f"{self.name}: {given} must be a number, got {value!r}")
            checked[name] = self.bounds[name].check(f"{self.name}: {given}", float(value))
        return {**self.hypers, **checked}

    def variant(
        self,
        convention: str,
        differs: str,
        *,
        hypers: Mapping[str, float] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> "Rule":
        """Return the same formula under another convention, with other defaults or aliases."""
        for table in (hypers or {}, aliases or {}):
            check_known(self.name, table, self.hypers)
        return replace(
            self,
            convention=convention,
            differs=differs,
            hypers={**self.hypers, **(hypers or {})},
            aliases=self.aliases if aliases is None else aliases,
        )

    def with_hypers(self, function: Formula, **added: tuple[float, str]) -> "Rule":
        """Return this rule with a wrapped formula and further hyper-parameters.

        Args:
            function: The new formula, of the same state.
            **added: Default and bounds of each hyper-parameter that the wrapper adds.

        Raises:
            SettingError: When the rule has a hyper-parameter or state of an added name.
        """
        for name in added:
            if name in self.hypers or name in self.state:
                raise SettingError(f"rule {self.name} has {name} already")
        return replace(
            self,
            function=function,
            hypers={**self.hypers, **{name: default for name, (default, _) in added.items()}},
            bounds={**self.bounds, **{name: Bounds.parse(b) for name, (_, b) in added.items()}},
        )


def rule(
    *,
    state: tuple[str, ...] = (),
    name: str | None = None,
    convention: str = "own",
    differs: str = "",
    bounds: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    state_aliases: Mapping[str, str] | None = None,
    init: Mapping[str, tuple[str, float]] | None = None,
    readout: Formula | None = None,
    paper: str = "",
) -> Callable[[Formula], Rule]:
    """Make a rule of a formula.

    Args:
        state: Names of what the rule keeps per weight; positional arguments after ``w, g``.
        name: Defaults to the function's name.
        convention: Whose variant of the formula this is.
        differs: What this convention does differently, in a sentence.
        bounds: Interval per hyper-parameter, such as ``{"beta1": "[0, 1)"}``. ``lr`` defaults to
            ``(0, inf)``, every other to any finite number.
        aliases: Formula name to torch argument.
        state_aliases: State name to torch's state key.
        init: For a state that does not start at 0: the hyper-parameter it starts at, and its
            default.
        readout: The weights to evaluate, where they differ from the stored ones.
        paper: Source of the formula.

    Returns:
        A decorator that turns ``f(w, g, *state, *, t, lr=..., ...)`` into a `Rule`. ``t`` counts
        steps from 1 and may be left out.

    Raises:
        SettingError: When the signature does not follow the contract.

    >>> @rule(state=("m",), bounds={"beta": "[0, 1)"})
    ... def averaged(w, g, m, *, lr=0.1, beta=0.9):
    ...     m = beta * m + (1 - beta) * g
    ...     return w - lr * m, m
    >>> averaged.hypers["beta"]
    0.9
    """
    started = dict(init or {})

    def decorate(function: Formula) -> Rule:
        given = name or function.__name__
        hypers = signature_hypers(given, function, state) | dict(started.values())
        check_symbols(given, (*state, *hypers))
        named = ((bounds, hypers), (aliases, hypers), (state_aliases, state), (started, state))
        for table, known in named:
            check_known(given, table or {}, known)
        return Rule(
            name=given,
            function=_uniform(function, started),
            state=tuple(state),
            hypers=hypers,
            convention=convention,
            differs=differs,
            bounds=_all_bounds(hypers, bounds or {}),
            aliases=aliases or {},
            state_aliases=state_aliases or {},
            init={s: hyper for s, (hyper, _) in started.items()},
            readout=readout,
            paper=paper,
        )

    return decorate


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _uniform(function: Formula, started: Mapping[str, tuple[str, float]]) -> Formula:
    """Return the formula callable with ``t`` and every hyper-parameter, used by it or not."""
    parameters = inspect.signature(function).parameters
    unused = {hyper for hyper, _ in started.values() if hyper not in parameters}
    unused |= {"t"} - parameters.keys()

    @wraps(function)
    def uniform(*arrays: Any, **numbers: Any) -> Any:
        result = function(*arrays, **{k: v for k, v in numbers.items() if k not in unused})
        return result if isinstance(result, tuple) else (result,)

    return uniform


def _all_bounds(hypers: Mapping[str, float], given: Mapping[str, str]) -> dict[str, Bounds]:
    usual = {"lr": Bounds(0.0, math.inf, False, False)}
    free = Bounds(-math.inf, math.inf, False, False)
    return {
        name: Bounds.parse(given[name]) if name in given else usual.get(name, free)
        for name in hypers
    }
