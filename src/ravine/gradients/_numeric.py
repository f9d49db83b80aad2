"""Numeric gradients of any scalar function of tensors, with an error estimate for every entry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError, unknown
from ravine.gradients._complex_step import call, complex_step
from ravine.gradients._formulas import (
    FORMULAS,
    Formula,
    own_scale,
    steps,
    surer,
)
from ravine.gradients._listening import Listener, Silent
from ravine.gradients._noise import measured_noise
from ravine.gradients._points import Objective, values_at

_COMPLEX = "complex"
_FAR = 1e-3  # of the scale of the tensors, to see how much the function changes


@dataclass(frozen=True)
class NumericGradient:
    """Derivatives by every entry, in the shape of what they were asked for.

    Args:
        values: A tensor, or a tuple or dict of tensors as `x` was.
        errors: Estimated absolute error of every value, of the same form.
    """

    values: Any
    errors: Any


def numeric_gradient(
    f: Callable[..., Tensor],
    x: Any,
    method: str = "central",
    step: float | str = "auto",
    *,
    listener: Listener | None = None,
) -> NumericGradient:
    """Return the gradient of a scalar function from its values alone.

    Formulas, h the step of an entry: ``forward`` (f(x+h) - f(x)) / h; ``central``
    (f(x+h) - f(x-h)) / 2h; ``richardson`` central differences at h, h/2, ..., extrapolated to 0;
    ``complex`` Im f(x + ih) / h, exact to rounding where f is analytic. Each of the first three
    also evaluates at other steps, whose disagreement is the error estimate. ``central`` and
    ``richardson`` compare both sides too, so that a kink at x itself shows in the estimate;
    ``forward`` is the derivative of its one side there. All suppose that f varies on the scale of
    x: ``sin(x)`` at 1e6 needs a step of its own. Neither value nor estimate knows of anything
    narrower than the shortest step: a wave shorter than it, or a kink or pole nearer to x, may give
    a wrong value with a small estimate. In float64 the shortest step is 1.5e-8 (``forward``), 6e-6
    (``central``) or 4e-4 (``richardson``) of an entry's size, at least of a tenth of its tensor's.

    Args:
        f: Takes the tensor, the tensors of a tuple one by one, or the dict; returns a tensor with
            one element. It must not change what it is given.
        x: A float32 or float64 tensor, or a tuple, list or dict of them.
        method: ``"forward"``, ``"central"``, ``"richardson"`` or ``"complex"``.
        step: ``"auto"``: from the precision of the dtype and the scale of each entry; or one
            step > 0 for all entries, in units of x.
        listener: Hears of progress.

    Returns:
        Values and estimated errors, as `x` is formed.

    Raises:
        SettingError: The method is unknown, the step not > 0 or lost in rounding beside an entry,
            x no float32 or float64 tensor, f not scalar, or not analytic for the complex step.

    >>> x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    >>> found = numeric_gradient(lambda x: (x**3).sum(), x)
    >>> [round(one, 6) for one in found.values.tolist()], bool((found.errors < 1e-7).all())
    ([3.0, 12.0], True)

    Source: Nocedal & Wright 2006, section 8.1; Squire & Trapp 1998 (complex step).
    """
    tensors, rebuilt = _tensors_of(x)
    if method != _COMPLEX and method not in FORMULAS:
        raise unknown("method", str(method), [*FORMULAS, _COMPLEX])
    width = _checked_step(step)
    objective = _objective(f, tensors, rebuilt, listener or Silent())
    if method == _COMPLEX:
        found = complex_step(f, objective, rebuilt)
    else:
        formula, start = FORMULAS[method], _start(objective)
        count = range(len(objective.tensors))
        found = [_differences(objective, which, formula, width, start) for which in count]
    return NumericGradient(rebuilt([v for v, _ in found]), rebuilt([e for _, e in found]))


def _tensors_of(x: Any) -> tuple[list[Tensor], Callable[[Sequence[Any]], Any]]:
    """Return the tensors in `x`, and what puts a list of results back into its form."""
    if isinstance(x, Tensor):
        return [_checked_tensor("x", x)], lambda parts: parts[0]
    if isinstance(x, Mapping):
        names = list(x)
        tensors = [_checked_tensor(f"x[{name!r}]", x[name]) for name in names]
        return _some(tensors), lambda parts: dict(zip(names, parts, strict=True))
    if isinstance(x, tuple | list):
        return _some([_checked_tensor(f"x[{i}]", one) for i, one in enumerate(x)]), tuple
    raise SettingError(f"x must be a tensor, or a tuple or dict of tensors, got {type(x).__name__}")


def _some(tensors: list[Tensor]) -> list[Tensor]:
    if not tensors:
        raise SettingError("x must hold at least one tensor, got none")
    return tensors


def _checked_tensor(name: str, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise SettingError(f"{name} must be a tensor, got {type(x).__name__}")
    if x.dtype in (torch.float16, torch.bfloat16):
        raise SettingError(
            f"{name} must be float32 or float64, got {x.dtype}: differences of half-precision"
            f" values hold no digits of a derivative; give {name}.double()"
        )
    if x.dtype not in (torch.float32, torch.float64):
        raise SettingError(
            f"{name} must be float32 or float64, got {x.dtype}, which has no derivative; give"
            f" {name}.double() if its values can vary continuously"
        )
    return x


def _checked_step(step: float | str) -> float | None:
    if isinstance(step, str) and step == "auto":
        return None
    number = isinstance(step, int | float) and not isinstance(step, bool)
    if not number or not 0 < float(step) < float("inf"):
        raise SettingError(f"step must be 'auto' or a number > 0, got {step!r}")
    return float(step)


def _objective(
    f: Callable[..., Tensor],
    tensors: list[Tensor],
    rebuilt: Callable[[Sequence[Any]], Any],
    listener: Listener,
) -> Objective:
    base = [one.detach().clone(memory_format=torch.contiguous_format) for one in tensors]

    def pure(parts: Sequence[Tensor]) -> Tensor:
        return call(f, rebuilt(parts))

    def value() -> Tensor:
        # Without gradients, so that f may build no graph; an f that takes gradients itself
        # (a penalty on them) turns them on by torch.enable_grad.
        with torch.no_grad():
            return pure(base)

    _checked_scalar(value())
    names = [f"x[{i}]" if len(base) > 1 else "x" for i in range(len(base))]
    return Objective(names, base, value, pure, listener)


def _checked_scalar(value: Any) -> None:
    if not isinstance(value, Tensor):
        raise SettingError(f"f must return a tensor with one element, got {type(value).__name__}")
    if value.numel() != 1:
        raise SettingError(
            f"f must return a tensor with one element, got shape {tuple(value.shape)}; sum or"
            " average it"
        )
    if not value.is_floating_point():
        raise SettingError(f"f must return a float tensor, got {value.dtype}")


@dataclass(frozen=True)
class _Start:
    """The function at the base point: its value, and what rounding adds to it."""

    value: float
    noise: float


def _start(objective: Objective) -> _Start:
    """Measure the function at the base point, and its rounding along a random line."""
    start = objective.value()
    value, info = float(start), torch.finfo(start.dtype)
    generator = torch.Generator().manual_seed(0)
    kept = [one.clone() for one in objective.tensors]
    moves = [
        torch.randn(one.shape, generator=generator, dtype=torch.float64).to(one) * own_scale(one)
        for one in kept
    ]

    def along(step: float) -> float:
        return _along(objective, kept, moves, step)

    least = info.eps * (abs(value) + info.tiny)  # the latter where it underflows
    size = abs(along(_FAR) - value) / _FAR
    return _Start(value, measured_noise(along, kept[0].dtype, size, least))


def _along(
    objective: Objective, kept: Sequence[Tensor], moves: Sequence[Tensor], step: float
) -> float:
    """Return the function a step along moves of all tensors, which are put back exactly."""
    try:
        for one, move in zip(objective.tensors, moves, strict=True):
            one.add_(move, alpha=step)
        return float(objective.value())
    finally:
        for one, base in zip(objective.tensors, kept, strict=True):
            one.copy_(base)


def _differences(
    objective: Objective, which: int, formula: Formula, width: float | None, start: _Start
) -> tuple[Tensor, Tensor]:
    """Return derivatives and errors by one tensor."""
    x, silent = objective.tensors[which], replace(objective, listener=Silent())
    flat = x.view(-1)
    entries = torch.arange(flat.numel(), device=x.device)
    step = steps(flat, formula.order) if width is None else torch.full_like(flat, width)
    found, errors = _derivatives(objective, which, formula, entries, step, start)
    if width is None:
        # A small entry among large ones may have a scale of its own, as under a logarithm.
        own = torch.finfo(x.dtype).eps ** (1 / formula.order) * flat.abs()
        small = entries[(flat != 0) & (own < step)]
        again = _derivatives(silent, which, formula, small, own[small], start)
        found[small], errors[small] = surer((found[small], errors[small]), again)
    return found.view(x.shape), errors.view(x.shape)


def _derivatives(
    objective: Objective,
    which: int,
    formula: Formula,
    entries: Tensor,
    step: Tensor,
    start: _Start,
) -> tuple[Tensor, Tensor]:
    """Return derivatives and errors by some entries of one tensor, of its dtype [N]."""
    if not len(entries):
        return step, step.clone()
    x = objective.tensors[which]
    flat = x.view(-1)[entries]
    # Moves as they come out in floating point, which is what the differences are divided by.
    moves = torch.stack([(flat + m * step) - flat for m in formula.multiples])
    _check_moves(objective.names[which], flat, moves, step)
    points = entries.repeat(len(formula.multiples))
    values = values_at(objective, which, points, moves.reshape(-1)).view(moves.shape)
    found, errors = formula.derivative(moves.double(), values.double() - start.value, start.noise)
    info = torch.finfo(x.dtype)
    errors += info.eps * (found.abs() + info.tiny)  # of the result as it is stored
    return found.to(x.dtype), errors.to(x.dtype)


def _check_moves(name: str, flat: Tensor, moves: Tensor, step: Tensor) -> None:
    """Raise where a step is so small beside an entry that points of the formula fall together."""
    ordered = torch.cat([moves, torch.zeros_like(flat)[None]]).sort(0).values
    lost = (ordered.diff(dim=0) == 0).any(0).nonzero().flatten()
    if len(lost):
        i = int(lost[0])
        raise SettingError(
            f"step must be large enough to move every entry; {float(step[i]):g} is lost in"
            f" rounding beside {float(flat[i]):g} in {name}; give a larger one, or 'auto'"
        )
