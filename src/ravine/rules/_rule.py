"""What a rule is: a formula as a Python function, and everything declared beside it."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, wraps
from numbers import Real
from types import MappingProxyType
from typing import Any

from ravine.core.errors import SettingError, unknown
from ravine.rules._bounds import Bounds
from ravine.rules._signature import (
    check_codecs,
    check_comparisons,
    check_defaults,
    check_known,
    check_label,
    check_scalars,
    check_symbols,
    signature_hypers,
)
from ravine.rules._space import Range

Formula = Callable[..., Any]
# What a state starts at: a hyper-parameter with its default, or "w", a copy of the weights.
Start = tuple[str, float] | str


@dataclass(frozen=True, eq=False)
class Rule:
    """An update formula with its state, hyper-parameters, names and source.

    Args:
        name: What users call it.
        function: ``(w, g, *state, *scalars, t, **hypers) -> (w, *state, *scalars)``.
        state: Names of what is kept per weight, in the order of the function's arguments.
        hypers: Default of each hyper-parameter, ``lr`` included.
        convention: Whose variant of the formula this is: ``"torch"``, ``"lecture"``, ``"own"``...
        differs: What this convention does differently, in a sentence.
        scalars: Names of what is kept in double precision per ``"tensor"`` or per ``"member"``
            (one number for a whole model), to which of the two.
        bounds: Interval of each hyper-parameter; ``lr`` is positive unless told.
        space: Range in which each hyper-parameter is searched, where it is worth searching.
        aliases: Formula name to torch argument (``mu`` to ``momentum``).
        state_aliases: State name to torch's state key (``m`` to ``exp_avg``).
        codecs: How a state is stored in few bits: ``"root"`` by its square root, for running
            means of squares; others linearly, with a sign.
        init: What a state or scalar starts at: a hyper-parameter, or ``"w"``, the weights; those
            not named start at 0.
        readout: ``(w, *state, *scalars, t, **hypers) -> w``: the weights to evaluate, where they
            are not the stored point at which gradients are taken.
        ascent: ``(w, g, *, t, **hypers) -> w``: the point at which a second gradient is taken,
            which the function gets together with the stored ``w``.
        scheduled: Whether studies may change ``lr`` by a schedule; False where the rule sets its
            own rate by step.
        maximizes: Whether the formula climbs along the gradient that it is given.
        paper: Source of the formula.
    """

    name: str
    function: Formula
    state: tuple[str, ...]
    hypers: Mapping[str, float]
    convention: str = "own"
    differs: str = ""
    scalars: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    space: Mapping[str, Range] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    state_aliases: Mapping[str, str] = field(default_factory=dict)
    codecs: Mapping[str, str] = field(default_factory=dict)
    init: Mapping[str, str] = field(default_factory=dict)
    readout: Formula | None = None
    ascent: Formula | None = None
    scheduled: bool = True
    maximizes: bool = False
    paper: str = ""

    def __post_init__(self) -> None:
        check_label("name of a rule", self.name)
        check_label(f"convention of {self.name}", self.convention)
        check_defaults(self.name, self.hypers, self.bounds)
        for name in _TABLES:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        return f"<rule {self.name}@{self.convention}>"

    def __deepcopy__(self, memo: Any) -> "Rule":
        # Kernels are found by the rule's identity, and a frozen rule needs no copy.
        return self

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of all that is kept between steps: states, then scalars."""
        return (*self.state, *self.scalars)

    @property
    def momentum(self) -> str | None:
        """The share of past gradients kept: what torch calls ``momentum`` or the first of betas.

        None where neither the aliases nor the formula's own names say so.
        """
        known = ("momentum", "beta1", "betas[0]")
        names = (n for n in self.hypers if n in known or self.aliases.get(n) in known)
        return next(names, None)

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

    def wrapped(
        self,
        function: Formula,
        *,
        state: Mapping[str, str] | None = None,
        readout: Formula | None = None,
        ascent: Formula | None = None,
        aliases: Mapping[str, str] | None = None,
        **added: tuple[float, str],
    ) -> "Rule":
        """Return this rule with a wrapped formula, further states and hyper-parameters.

        Args:
            function: The new formula; its states are this rule's and then the added ones.
            state: What each added state starts at: ``"w"``, or ``"0"``.
            readout: The new readout; this rule's when None.
            ascent: The new ascent; this rule's when None.
            aliases: Other names of what is added.
            **added: Default and bounds of each hyper-parameter that the wrapper adds.

        Raises:
            SettingError: When the rule has a hyper-parameter or state of an added name.
        """
        new = state or {}
        for name in (*added, *new):
            if name in self.hypers or name in self.kept:
                raise SettingError(f"rule {self.name} has {name} already")
        return replace(
            self,
            function=function,
            state=(*self.state, *new),
            init={**self.init, **{s: start for s, start in new.items() if start != "0"}},
            hypers={**self.hypers, **{name: default for name, (default, _) in added.items()}},
            bounds={**self.bounds, **{name: Bounds.parse(b) for name, (_, b) in added.items()}},
            readout=readout or self.readout,
            ascent=ascent or self.ascent,
            aliases={**self.aliases, **(aliases or {})},
        )


_TABLES = ("hypers", "scalars", "bounds", "space", "aliases", "state_aliases", "codecs", "init")


def rule(
    *,
    state: tuple[str, ...] = (),
    scalars: Mapping[str, str] | None = None,
    name: str | None = None,
    convention: str = "own",
    differs: str = "",
    bounds: Mapping[str, str] | None = None,
    space: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    state_aliases: Mapping[str, str] | None = None,
    codecs: Mapping[str, str] | None = None,
    init: Mapping[str, Start] | None = None,
    readout: Formula | None = None,
    ascent: Formula | None = None,
    scheduled: bool = True,
    paper: str = "",
) -> Callable[[Formula], Rule]:
    """Make a rule of a formula.

    Args:
        state: Names of what the rule keeps per weight; positional arguments after ``w, g``.
        scalars: Numbers kept between steps, to ``"tensor"`` (one per weight tensor) or
            ``"member"`` (one per model); positional arguments after the states.
        name: Defaults to the function's name.
        convention: Whose variant of the formula this is.
        differs: What this convention does differently, in a sentence.
        bounds: Interval per hyper-parameter, such as ``{"beta1": "[0, 1)"}``. ``lr`` defaults to
            ``(0, inf)``, every other to any finite number.
        space: Range per hyper-parameter to search in, such as ``{"beta1": "complement[0.8,
            0.99]"}``.
        aliases: Formula name to torch argument.
        state_aliases: State name to torch's state key.
        codecs: ``"root"`` for states that are means of squares.
        init: For a state or scalar that does not start at 0: the hyper-parameter it starts at,
            and its default; or ``"w"``, for a copy of the weights.
        readout: The weights to evaluate, where they differ from the stored ones.
        ascent: Where a second gradient is taken, if one is.
        scheduled: False for a rule that sets its own rate by step.
        paper: Source of the formula.

    Returns:
        A decorator that turns ``f(w, g, *state, *scalars, *, t, lr=..., ...)`` into a `Rule`.
        ``t`` counts steps from 1 and may be left out.

    Raises:
        SettingError: When the signature does not follow the contract.

    >>> @rule(state=("m",), bounds={"beta": "[0, 1)"})
    ... def averaged(w, g, m, *, lr=0.1, beta=0.9):
    ...     m = beta * m + (1 - beta) * g
    ...     return w - lr * m, m
    >>> averaged.hypers["beta"]
    0.9
    """
    kept = (*state, *(scalars or {}))
    started = {k: start for k, start in (init or {}).items() if not isinstance(start, str)}

    def decorate(function: Formula) -> Rule:
        given = name or function.__name__
        hypers = signature_hypers(given, function, kept) | dict(started.values())
        check_comparisons(given, function)
        check_symbols(given, (*kept, *hypers))
        check_scalars(given, scalars or {})
        check_codecs(given, codecs or {})
        named = ((bounds, hypers), (space, hypers), (aliases, hypers), (codecs, state))
        for table, known in (*named, (state_aliases, kept), (init, kept)):
            check_known(given, table or {}, known)
        return Rule(
            name=given,
            function=_uniform(function, started),
            state=tuple(state),
            scalars=scalars or {},
            hypers=hypers,
            convention=convention,
            differs=differs,
            bounds=_all_bounds(hypers, bounds or {}),
            space={hyper: Range.parse(text) for hyper, text in (space or {}).items()},
            aliases=aliases or {},
            state_aliases=state_aliases or {},
            codecs=codecs or {},
            init={k: s if isinstance(s, str) else s[0] for k, s in (init or {}).items()},
            readout=readout,
            ascent=ascent,
            scheduled=scheduled,
            paper=paper,
        )

    return decorate


@lru_cache(maxsize=256)
def ascent_rule(rule: Rule) -> Rule:
    """Return the rule, without state, that moves weights to where a second gradient is taken.

    Args:
        rule: A rule with an ascent.
    """
    ascent = rule.ascent
    assert ascent is not None

    def function(w: Any, g: Any, **numbers: Any) -> Any:
        return (ascent(w, g, **numbers),)

    return Rule(
        name=f"{rule.name}_ascent",
        function=function,
        state=(),
        hypers=rule.hypers,
        convention=rule.convention,
        bounds=rule.bounds,
        paper=rule.paper,
    )


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
