"""Schedules made of schedules: one after another, or multiplied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.core.errors import SettingError, unknown
from ravine.schedules._checks import Length, lengths, steps_of
from ravine.schedules._plateau import pure
from ravine.schedules._scaled import Scaled, Schedule, Values, base_rate, describe


@dataclass(frozen=True)
class _Sequence:
    parts: tuple[Schedule, ...]
    at: tuple[Length | None, ...]  # None: as long as a warm-up lasts by itself

    def __call__(self, step: Any, total: int, base: Values) -> dict[str, Any]:
        base_rate(total, base)
        k = np.asarray(step, float)
        starts = self._starts(total)
        ends = [*starts[1:], total]
        piece = np.searchsorted(starts, k, side="right") - 1
        values: dict[str, Any] = {}
        for i, (part, start, end) in enumerate(zip(self.parts, starts, ends, strict=True)):
            # A share that a warm-up was given is one of the whole run, whichever part it is.
            span = total if _own_length(part) is not None else end - start
            found = _known(part, part(np.maximum(k - start, 0), span, base), base)
            for name in {**values, **found}:
                before, now = (v.get(name, base[name]) for v in (values, found))
                values[name] = np.where(piece == i, now, before)
        return {name: value[()] for name, value in values.items()}

    def _starts(self, total: int) -> list[int]:
        starts = [0]
        for part, mark in zip(self.parts, self.at, strict=False):
            own = _own_length(part)
            if mark is not None:
                starts.append(steps_of(mark, total))
            elif own is not None:
                starts.append(starts[-1] + steps_of(own, total))
        if starts != sorted(set(starts)) or starts[-1] >= total:
            raise SettingError(
                f"the parts of {self} must begin one after another within {total} steps, got"
                f" {starts}; give shares of all steps, such as 0.1"
            )
        return starts

    def __str__(self) -> str:
        marks = ["" if mark is None else f"@{mark}" for mark in self.at]
        texts = [f"{_inner(p)}{m}" for p, m in zip(self.parts, [*marks, ""], strict=True)]
        return "+".join(texts)


@dataclass(frozen=True)
class _Product:
    parts: tuple[Schedule, ...]

    def __call__(self, step: Any, total: int, base: Values) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for part in self.parts:
            values |= _known(part, part(step, total, {**base, **values}), base)
        return values

    def __str__(self) -> str:
        return "*".join(map(_inner, self.parts))


def sequence(*parts: Schedule, at: Sequence[Length] | None = None) -> Schedule:
    r"""Follow one schedule after another.

    .. math:: \eta_k = \eta^{(i)}_{k - m_i}, \quad m_i \le k < m_{i+1}, \quad m_0 = 0

    Each part sees its own steps, from 0, and its own number of them: a cosine that follows a
    warm-up falls to 0 at the end of the run. So shares in a part are shares of that part. Only a
    warm-up that is itself a part has shares of all steps of its sequence; one inside a product
    has shares of the part that the product is. Equal to torch's ``SequentialLR``.

    Args:
        parts: The schedules, at least 2.
        at: Where each part but the first begins, rising: steps, or shares of all steps. None: each
            part but the last is a `warmup`, and the next one begins where it ends.

    Raises:
        SettingError: An argument is outside its bounds; when called, a part begins after the end.

    >>> from ravine.schedules import linear, warmup
    >>> sequence(warmup(2), linear)([0, 1, 2, 6, 10], 10, {"lr": 1.0})["lr"].tolist()
    [0.5, 0.75, 1.0, 0.5, 0.0]
    """
    _check_parts("sequence", parts)
    if at is not None:
        return sequence_at(parts, lengths("at", at))
    return sequence_at(parts, [None] * (len(parts) - 1))


def sequence_at(parts: Sequence[Schedule], at: Sequence[Length | None]) -> Schedule:
    """Return a sequence in which a warm-up may bring its length, and other parts get theirs.

    Raises:
        SettingError: There are too many or too few lengths, or a part has none.
    """
    if len(at) != len(parts) - 1:
        raise SettingError(
            f"at must hold the beginning of each part but the first, {len(parts) - 1} in all,"
            f" got {list(at)}"
        )
    for part, mark in zip(parts, at, strict=False):
        if mark is None and _own_length(part) is None:
            raise SettingError(
                f"at must say where {describe(part)} ends, since only a warm-up has a length of"
                " its own; write at=[0.5], or @0.5 behind it on the command line"
            )
    return _Sequence(tuple(parts), tuple(at))


def product(*parts: Schedule) -> Schedule:
    r"""Multiply schedules: the base values of each are what the one before it returned.

    .. math:: \eta_k = \eta \prod_i \eta^{(i)}_k / \eta

    Each part sees all steps: a cosine times a warm-up has fallen a little when the warm-up ends.
    Equal to torch's ``ChainedScheduler``.

    Args:
        parts: The schedules, at least 2.

    Raises:
        SettingError: An argument is no schedule.

    >>> from ravine.schedules import linear, warmup
    >>> product(warmup(2), linear)([0, 1, 2, 6, 10], 10, {"lr": 1.0})["lr"].round(12).tolist()
    [0.5, 0.675, 0.8, 0.4, 0.0]
    """
    _check_parts("product", parts)
    return _Product(parts)


def _check_parts(name: str, parts: tuple[Schedule, ...]) -> None:
    if len(parts) < 2:
        raise SettingError(f"{name} must be given at least 2 schedules, got {len(parts)}")
    for part in parts:
        pure(part)


def _known(part: Schedule, found: dict[str, Any], base: Values) -> dict[str, Any]:
    """Return the values that a part returned, all of them of hyper-parameters that there are."""
    for name in found:
        if name not in base:
            raise unknown(f"hyper-parameter, which {describe(part)} returns,", name, base)
    return found


def _own_length(part: Schedule) -> Length | None:
    return part.arguments[0] if isinstance(part, Scaled) and part.name == "warmup" else None


def _inner(part: Schedule) -> str:
    return f"({part})" if isinstance(part, _Sequence) else describe(part)
