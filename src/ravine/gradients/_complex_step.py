"""The complex step: derivatives of analytic functions from imaginary parts."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import SettingError, first_line
from ravine.gradients._formulas import own_scale
from ravine.gradients._points import Objective

# Rounding in a complex step is that of one evaluation: nothing is subtracted.
_ERROR = 1e2


def complex_step(
    f: Callable[..., Tensor], objective: Objective, rebuilt: Callable[[Sequence[Any]], Any]
) -> list[tuple[Tensor, Tensor]]:
    """Return derivatives by all tensors from imaginary parts; only for analytic functions.

    Raises:
        SettingError: f cannot take complex tensors, or its complex step disagrees with a central
            difference, as where it takes an absolute value.
    """
    found = []
    for which, x in enumerate(objective.tensors):
        info, widths = torch.finfo(x.dtype), _widths(x.view(-1))
        values = [
            _imaginary(f, objective, rebuilt, which, i, float(width))
            for i, width in enumerate(widths)
        ]
        exact = torch.tensor(values, dtype=x.dtype, device=x.device).view(x.shape)
        largest = float(exact.abs().max()) if values else 0.0
        underflow = info.tiny * info.eps / widths.view(x.shape)
        found.append((exact, _ERROR * info.eps * largest + underflow))
        _check_analytic(objective, which, exact)
    return found


def _widths(flat: Tensor) -> Tensor:
    """Return the imaginary step of each entry.

    No difference is taken, so it may be so small beside the entry that its square vanishes.
    """
    info = torch.finfo(flat.dtype)
    relative = 1e-20 if flat.dtype == torch.float64 else 1e-10
    return (relative * own_scale(flat)).clamp(min=info.tiny)


def _imaginary(
    f: Callable[..., Tensor],
    objective: Objective,
    rebuilt: Callable[[Sequence[Any]], Any],
    which: int,
    entry: int,
    width: float,
) -> float:
    parts = [t.to(_complex_of(t)) for t in objective.tensors]
    parts[which].view(-1)[entry] += 1j * width
    try:
        with torch.no_grad():
            value = call(f, rebuilt(parts))
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
    return float(value.imag) / width


def _complex_of(tensor: Tensor) -> torch.dtype:
    return torch.complex128 if tensor.dtype == torch.float64 else torch.complex64


def _check_analytic(objective: Objective, which: int, exact: Tensor) -> None:
    """Raise where a central difference along a random direction disagrees by far."""
    x = objective.tensors[which]
    if not x.numel():
        return
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
    near = torch.finfo(x.dtype).eps ** (1 / 3)
    moves = near * direction * own_scale(x)
    kept, ends, values = x.clone(), [], []
    for sign in (1, -1):
        ends.append(x.add_(moves, alpha=sign).double().clone())
        values.append(float(objective.value()))
        x.copy_(kept)
    parts = exact.double() * (ends[0] - ends[1])
    rise, said = values[0] - values[1], float(parts.sum())
    size = float(parts.abs().max()) + abs(rise) + 2 * near**2 * max(map(abs, values))
    if abs(rise - said) > 100 * near * size:
        raise SettingError(
            f"method 'complex' needs an f whose complex values are analytic; along a random"
            f" direction it says that f rises by {said:.6g}, and f rises by {rise:.6g}, as after an"
            " absolute value, or torch's powers of negative numbers; use 'richardson'"
        )


def call(f: Callable[..., Tensor], x: Any) -> Tensor:
    """Return the function of a tensor, the tensors of a tuple one by one, or a dict."""
    return f(*x) if isinstance(x, tuple) else f(x)
