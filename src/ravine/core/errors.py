"""The errors users meet: each names the thing, the constraint, the value and the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class RavineError(Exception):
    """Base class of every error that Ravine raises on purpose."""


class SettingError(RavineError, ValueError):
    """A setting is unknown, unused or outside its bounds."""


class DataError(RavineError, ValueError):
    """Data cannot be read, or holds values that no training can use."""


class ModelError(RavineError, ValueError):
    """A model, loss or metric cannot be built or does not fit the problem."""


def unknown(kind: str, given: str, known: Iterable[str]) -> SettingError:
    """Return the error for a name that is not in a list, naming the nearest ones.

    >>> print(unknown("optimizer", "adma", ["adam", "adamw", "sgd"]))
    unknown optimizer 'adma'; did you mean 'adam', 'adamw'? Known: adam, adamw, sgd
    """
    known = sorted(known)
    near = get_close_matches(given, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(repr(name) for name in near)}? " if near else ""
    return SettingError(f"unknown {kind} {given!r}; {hint}Known: {', '.join(known) or 'none'}")


def first_line(error: BaseException) -> str:
    r"""Return an exception's kind and the first line of what it says.

    >>> first_line(ValueError("too large\nmore"))
    'ValueError: too large'
    """
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
