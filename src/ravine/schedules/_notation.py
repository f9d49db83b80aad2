"""Schedules by name, as the command line writes them: ``step:0.3:0.1``, ``warmup:100+cosine``."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ravine.core.errors import SettingError, unknown
from ravine.schedules._checks import Length, length
from ravine.schedules._compose import product, sequence_at
from ravine.schedules._decay import (
    constant,
    cosine,
    cosine_to,
    exponential_decay,
    inverse_time_decay,
    linear,
    linear_to,
    multi_step_decay,
    polynomial_decay,
    step_decay,
)
from ravine.schedules._one_cycle import one_cycle
from ravine.schedules._plateau import ReduceOnPlateau, no_function, pure
from ravine.schedules._restarts import cosine_restarts
from ravine.schedules._scaled import Schedule, describe
from ravine.schedules._warmup import warmup, warmup_stable_decay


class _Named(NamedTuple):
    """A factory and its notation: arguments in ``[...]`` may be left out."""

    make: Callable[..., Schedule]
    usage: str
    example: str


def _linear(end: Any = None) -> Schedule:
    return linear if end is None else linear_to(end)


def _cosine(end: Any = None) -> Schedule:
    return cosine if end is None else cosine_to(end)


def _multi_step(at: Any, *factor: Any) -> Schedule:
    return multi_step_decay(at if isinstance(at, tuple) else (at,), *factor)


_NAMED = {
    "constant": _Named(lambda: constant, "constant", "constant"),
    "linear": _Named(_linear, "linear[:END]", "linear:0.1"),
    "cosine": _Named(_cosine, "cosine[:END]", "cosine:0.1"),
    "step": _Named(step_decay, "step:EVERY[:FACTOR]", "step:0.3:0.1"),
    "multistep": _Named(_multi_step, "multistep:AT,AT,...[:FACTOR]", "multistep:0.5,0.75:0.1"),
    "exponential": _Named(exponential_decay, "exponential:FACTOR", "exponential:0.999"),
    "inverse": _Named(inverse_time_decay, "inverse:RATE", "inverse:0.01"),
    "polynomial": _Named(polynomial_decay, "polynomial[:POWER]", "polynomial:2"),
    "warmup": _Named(warmup, "warmup:STEPS[:START]", "warmup:0.1"),
    "restarts": _Named(cosine_restarts, "restarts:FIRST[:GROWTH[:END]]", "restarts:0.1:2"),
    "onecycle": _Named(
        one_cycle,
        "onecycle[:RISE[:START[:END[:SHAPE[:PHASES[:LOW,HIGH]]]]]]",
        "onecycle:0.3",
    ),
    "wsd": _Named(warmup_stable_decay, "wsd[:WARMUP[:DECAY[:SHAPE]]]", "wsd:0.1:0.2"),
}


def schedule_names() -> tuple[str, ...]:
    """Return the names that a schedule's text may begin with.

    >>> "cosine" in schedule_names()
    True
    """
    return tuple(_NAMED)


def get_schedule(schedule: str | Schedule) -> Schedule:
    """Return the schedule that a text stands for; a schedule is returned as it is.

    Args:
        schedule: ``NAME[:ARGUMENT...]`` such as ``step:0.3:0.1``; several joined by ``*`` are
            multiplied, several joined by ``+`` follow one another, each but the last with
            ``@STEP``, where it ends, unless it is a warm-up: ``warmup:100+constant@0.5+cosine``.
            An integer counts steps, a fraction is a share of all steps. Spaces change nothing.

    Raises:
        SettingError: A name is unknown, an argument missing or outside its bounds.

    >>> get_schedule("step:30:0.5")([29, 30, 60], 100, {"lr": 1.0})["lr"].tolist()
    [1.0, 0.5, 0.25]
    >>> get_schedule("warmup:2+linear")([0, 2, 6, 10], 10, {"lr": 1.0})["lr"].tolist()
    [0.5, 1.0, 0.5, 0.0]
    """
    if callable(schedule) or isinstance(schedule, ReduceOnPlateau):
        return pure(schedule)
    text = str(schedule)
    try:
        return _sequence(text)
    except SettingError as error:
        if text.isidentifier():  # the error shows all of it already
            raise
        raise SettingError(f"schedule {text!r}: {error}") from None


def schedule_text(schedule: str | Schedule) -> str:
    """Return the text from which `get_schedule` makes a schedule again.

    Raises:
        SettingError: As for `get_schedule`, and when a schedule has no text.

    >>> schedule_text(cosine), schedule_text(" warmup:100 + cosine ")
    ('cosine', 'warmup:100+cosine')
    """
    found = get_schedule(schedule)
    if isinstance(schedule, str):
        return "".join(schedule.split())
    text = describe(found)
    if not _stands_for(text, found):
        raise SettingError(
            f"schedule must be one that a text can name, such as 'warmup:100+cosine', got {text};"
            " functions of your own and sequences within products have no text"
        )
    return text


def _stands_for(text: str, schedule: Schedule) -> bool:
    try:
        return get_schedule(text) == schedule
    except SettingError:
        return False


def _sequence(text: str) -> Schedule:
    pieces = [piece.partition("@") for piece in text.split("+")]
    parts = [_product(piece) for piece, _, _ in pieces]
    last, sign, mark = pieces[-1]
    if sign:
        raise SettingError(
            f"'@{mark}' behind {last} must be followed by the next part, such as '+cosine'"
        )
    if len(parts) == 1:
        return parts[0]
    return sequence_at(parts, [_end(mark) if sign else None for _, sign, mark in pieces[:-1]])


def _end(mark: str) -> Length:
    return length("the step behind @", _argument(mark))


def _product(text: str) -> Schedule:
    parts = [_single(part) for part in text.split("*")]
    return parts[0] if len(parts) == 1 else product(*parts)


def _single(text: str) -> Schedule:
    name, *given = map(str.strip, text.split(":"))
    if not text.strip():
        known = ", ".join(_NAMED)
        raise SettingError(f"a part is missing: write a name, such as cosine; Known: {known}")
    if name in ("plateau", "ReduceLROnPlateau"):
        raise no_function("plateau")
    if name not in _NAMED:
        raise unknown("schedule", name, _NAMED)
    make, usage, example = _NAMED[name]
    least, most = usage.split("[")[0].count(":"), usage.count(":")
    if not least <= len(given) <= most or "" in given:
        raise SettingError(
            f"{name} must be given {_counted(least, most)}, as in {usage}, got {text!r};"
            f" write for example {example}"
        )
    return make(*map(_argument, given))


def _counted(least: int, most: int) -> str:
    ending = "" if most == 1 else "s"
    if least == most:
        return f"{most or 'no'} argument{ending}"
    return f"{f'{least} to' if least else 'at most'} {most} argument{ending}"


def _argument(text: str) -> Any:
    """Return an integer (``1e2`` is one), a number, several of them, None, or else the text."""
    text = text.strip()
    if "," in text:
        return tuple(map(_argument, text.split(",")))
    if text == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    written_whole = "." not in text or "e" in text.lower()
    return int(value) if written_whole and value.is_integer() else value
