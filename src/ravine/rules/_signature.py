"""What a formula's signature must look like, checked when the rule is defined."""

import dis
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ravine.core.errors import SettingError, unknown
from ravine.rules._bounds import Bounds

SCALAR_OVER = ("tensor", "member")
CODECS = ("linear", "root")

# Symbols that every formula has; a hyper-parameter or state may not hide them.
RESERVED = ("w", "g", "t")

# Names that the generated code, an optimizer's state or its groups use themselves.
_TAKEN = re.compile(
    r"w|g|t|i|row|sums|scalars|constants|partial|abs|exp|floor|log|sign|sqrt|min|range|step|compensation|rounding|.*_codes|.*_exponents|tl|params|param_names|[crx]\d+|sum\d+|_.*|.*_"
)
_LABEL = re.compile(r"[A-Za-z][\w-]*", re.ASCII)


def check_label(kind: str, label: str) -> None:
    """Check a rule's name or convention: it becomes part of commands and file names.

    Raises:
        SettingError: When it is not letters, digits, ``-`` and ``_`` that start with a letter.
    """
    if not _LABEL.fullmatch(label):
        raise SettingError(
            f"{kind} must be letters, digits, '-' or '_' and start with a letter, got {label!r}"
        )


def signature_hypers(
    name: str, function: Callable[..., Any], state: tuple[str, ...]
) -> dict[str, float]:
    """Return the hyper-parameters of a formula with their defaults.

    Raises:
        SettingError: When the signature does not follow the contract.
    """
    parameters = inspect.signature(function).parameters.values()
    positional = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
    if positional != ("w", "g", *state):
        wanted = ", ".join(("w", "g", *state))
        raise SettingError(
            f"rule {name}: positional arguments must be ({wanted}), got ({', '.join(positional)});"
            " name the states in @rule(state=...) and make hyper-parameters keyword-only"
        )
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "t"]
    for p in keywords:
        if not isinstance(p.default, int | float) or isinstance(p.default, bool):
            raise SettingError(f"rule {name}: {p.name} must have a number as default")
    hypers = {p.name: float(p.default) for p in keywords}
    if "lr" not in hypers:
        raise SettingError(f"rule {name}: the learning rate lr is missing, such as lr=1e-3")
    return hypers


def check_comparisons(name: str, function: Callable[..., Any]) -> None:
    """Refuse ``==``, ``!=`` and ``in`` in a formula: of symbols they are never true.

    Other comparisons in a Python branch fail by themselves when the formula is traced; these would
    silently take the same branch at every step.

    Raises:
        SettingError: When the formula's own code holds one.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    for instruction in dis.get_instructions(code) if code is not None else ():
        equality = instruction.opname == "COMPARE_OP" and instruction.argval in ("==", "!=")
        if equality or instruction.opname == "CONTAINS_OP":
            word = "in" if instruction.opname == "CONTAINS_OP" else instruction.argval
            raise SettingError(
                f"rule {name}: the formula uses {word!r}, which sees symbols and not their values;"
                " use where() with <, <=, > or >=, such as where(t > 1, a, b)"
            )


def check_symbols(name: str, symbols: Iterable[str]) -> None:
    """Check the names of states and hyper-parameters, which the kernel uses as they are.

    Raises:
        SettingError: When one is taken, or used twice.
    """
    seen: set[str] = set()
    for symbol in symbols:
        if _TAKEN.fullmatch(symbol) or not symbol.isidentifier():
            raise SettingError(f"rule {name}: {symbol!r} has another use in kernels; rename it")
        if symbol in seen:
            raise SettingError(f"rule {name}: the name {symbol!r} is used twice; rename one")
        seen.add(symbol)


def check_known(name: str, table: Iterable[str], known: Iterable[str]) -> None:
    """Check that a table beside the formula names only what the formula has.

    Raises:
        SettingError: Naming the first that it does not have.
    """
    known = list(known)
    for key in table:
        if key not in known:
            raise unknown(f"name in rule {name}", key, known)


def check_scalars(name: str, scalars: Mapping[str, str]) -> None:
    """Check what each scalar is kept for.

    Raises:
        SettingError: When that is neither a tensor nor a member.
    """
    for scalar, over in scalars.items():
        if over not in SCALAR_OVER:
            raise SettingError(
                f"rule {name}: scalar {scalar} must be kept per 'tensor' or 'member', got {over!r}"
            )


def check_codecs(name: str, codecs: Mapping[str, str]) -> None:
    """Check how states are stored in few bits.

    Raises:
        SettingError: When there is no such way.
    """
    for state, codec in codecs.items():
        if codec not in CODECS:
            raise unknown(f"codec of {state} in rule {name}", codec, CODECS)


def check_defaults(name: str, hypers: Mapping[str, float], bounds: Mapping[str, Bounds]) -> None:
    """Check that every default lies within its bounds.

    Raises:
        SettingError: Naming the first that does not.
    """
    for hyper in hypers.keys() & bounds.keys():
        bounds[hyper].check(f"rule {name}: the default of {hyper}", hypers[hyper])
