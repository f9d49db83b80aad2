"""Numeric gradients of any scalar function of tensors, with an error estimate for every entry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError, first_line, unknown
from ravine.gradients._formulas import FORMULAS, Formula, steps
from ravine.gradients._listening import Listener, Silent
from ravine.gradients._points import Objective, values_at

_COMPLEX = "complex"
# Rounding in a complex step is that of one evaluation: nothing is subtracted.
_COMPLEX_ERROR = 1e2


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
    also evaluates at other steps, whose disagreement is the error estimate.

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
        SettingError: The method is unknown, the step not > 0, x no float32 or float64 tensor, f
            not scalar, or not analytic for the complex step.

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
        found = _complex_step(f, objective, rebuilt)
    else:
        formula = FORMULAS[method]
        count = range(len(objective.tensors))
        found = [_differences(objective, which, formula, width) for which in count]
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
    if isinstance(step, str) or not 0 < float(step) < float("inf"):
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
        return _call(f, rebuilt(parts))

    def value() -> Tensor:
        # Without gradients, so that f may build no graph; an f that takes gradients itself
        # (a penalty on them) turns them on by torch.enable_grad.
        with torch.no_grad():
            return pure(base)

    _checked_scalar(value())
    names = [f"x[{i}]" if len(base) > 1 else "x" for i in range(len(base))]
    return Objective(names, base, value, pure, listener)


def _call(f: Callable[..., Tensor], x: Any) -> Tensor:
    return f(*x) if isinstance(x, tuple) else f(x)


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


def _differences(
    objective: Objective, which: int, formula: Formula, width: float | None
) -> tuple[Tensor, Tensor]:
    """Return derivatives and errors by one tensor."""
    x = objective.tensors[which]
    flat = x.view(-1)
    step = steps(flat, formula.order) if width is None else torch.full_like(flat, width)
    # Moves as they come out in floating point, which is what the differences are divided by.
    moves = torch.stack([(flat + m * step) - flat for m in formula.multiples])
    entries = torch.arange(flat.numel(), device=x.device).repeat(len(formula.multiples))
    start = objective.value().reshape(())
    values = values_at(objective, which, entries, moves.reshape(-1)).view(moves.shape)
    rises = values.double() - start.double()
    noise = torch.finfo(start.dtype).eps * float(start.abs())
    found, errors = formula.derivative(moves.double(), rises, noise)
    return found.to(x.dtype).view(x.shape), errors.to(x.dtype).view(x.shape)


def _complex_step(
    f: Callable[..., Tensor], objective: Objective, rebuilt: Callable[[Sequence[Any]], Any]
) -> list[tuple[Tensor, Tensor]]:
    """Return derivatives by all tensors from imaginary parts; only for analytic functions.

    Raises:
        SettingError: f cannot take complex tensors, or its complex step disagrees with a central
            difference, as where it takes an absolute value.
    """
    found = []
    for which, x in enumerate(objective.tensors):
        values = [_imaginary(f, objective, rebuilt, which, i) for i in range(x.numel())]
        exact = torch.stack(values).to(x.dtype).view(x.shape)
        rounding = _COMPLEX_ERROR * torch.finfo(x.dtype).eps * exact.abs().max()
        found.append((exact, rounding.expand(exact.shape).clone()))
        _check_analytic(objective, which, exact)
    return found


def _imaginary(
    f: Callable[..., Tensor],
    objective: Objective,
    rebuilt: Callable[[Sequence[Any]], Any],
    which: int,
    entry: int,
) -> Tensor:
    # No difference is taken, so the step may be so small that its square vanishes.
    width = 1e-20 if objective.tensors[which].dtype == torch.float64 else 1e-10
    parts = [t.to(_complex_of(t)) for t in objective.tensors]
    parts[which].view(-1)[entry] += 1j * width
    try:
        with torch.no_grad():
            value = _call(f, rebuilt(parts))
    except Exception as error:
        raise SettingError(
            f"method 'complex' needs an f that takes complex tensors; it raised"
            f" {first_line(error)}; use 'richardson'"
        ) from error
    if not value.is_complex():
        raise SettingError(
            "method 'complex' needs an analytic f; it returned a real tensor for complex ones, as"
            " after an absolute value; use 'richardson'"
        )
    return value.imag.reshape(()) / width


def _complex_of(tensor: Tensor) -> torch.dtype:
    return torch.complex128 if tensor.dtype == torch.float64 else torch.complex64


def _check_analytic(objective: Objective, which: int, exact: Tensor) -> None:
    """Raise where a central difference along a random direction disagrees by far."""
    x = objective.tensors[which]
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    width = torch.finfo(x.dtype).eps ** (1 / 3)
    kept, values = x.clone(), []
    for sign in (1, -1):
        x.add_(direction, alpha=sign * width)
        values.append(float(objective.value()))
        x.copy_(kept)
    slope, said = (values[0] - values[1]) / (2 * width), float((exact * direction).sum())
    size = float(exact.abs().max()) + abs(slope) + max(map(abs, values)) * width
    if abs(slope - said) > 100 * width * size:
        raise SettingError(
            f"method 'complex' needs an f whose complex values are analytic; along a random"
            f" direction it gives {said:.6g} and a central difference {slope:.6g}, as after an"
            " absolute value, or torch's powers of negative numbers; use 'richardson'"
        )
