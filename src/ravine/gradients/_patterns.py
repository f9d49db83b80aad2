"""What a wrong gradient looks like: a factor, a sign, a transpose, a neighbour, a term left out."""

from collections.abc import Iterator
from fractions import Fraction
from math import floor, log10

import torch
from torch import Tensor

_NEAR = 1e-4  # of the largest entry: two values that differ by less are the same here
_UNSEEN = 1e-6  # of the largest entry: a disagreement that may be rounding
_EXPLAINED = 0.01  # of the largest disagreement: what an explanation may leave of it


def pattern(
    analytic: Tensor,
    entries: Tensor,
    numeric: Tensor,
    sizes: dict[str, int],
    noise: float = 0.0,
) -> str:
    """Return in words how an analytic gradient differs from numeric values.

    Args:
        analytic: The whole gradient, of any shape.
        entries: Flat indices of the entries that have a numeric value, int64 [N].
        numeric: Those values [N].
        sizes: Numbers that a factor may be, by what they count, such as the batch.
        noise: What rounding may add to each numeric value.

    >>> a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> pattern(a, torch.arange(4), -a.flatten(), {})
    'the sign is wrong: autograd gives -1 times the numeric value in every entry looked at'
    >>> pattern(a, torch.arange(4), a.T.flatten(), {})
    'it is the transpose of what it should be'
    """
    exist = numeric.isfinite()
    if not exist.any():
        return "no entry looked at has a numeric value"
    entries, numeric = entries[exist.to(entries.device)], numeric[exist].double()
    given = analytic.reshape(-1)[entries].double()
    size = float(torch.maximum(given.abs().max(), numeric.abs().max()))
    most = float((given - numeric).abs().max())
    if most <= min(noise, _UNSEEN * size):
        return "no entry looked at shows it"
    near = max(min(_NEAR * size, _EXPLAINED * most), noise)
    if bool((given.abs() <= near).all()):
        return "autograd gives 0 in every entry looked at, where the numeric values are not 0"
    ratio = float((given * numeric).sum() / numeric.square().sum()) if numeric.any() else 0.0
    if ratio and bool(((given - ratio * numeric).abs() <= near).all()):
        return _factor(ratio, sizes, max(1e-3, 0.5 * noise / size))
    for words, other in _rearranged(analytic):
        if bool((other.reshape(-1)[entries].double() - numeric).abs().le(near).all()):
            return words
    return _partly(analytic, given, numeric, near)


def _factor(ratio: float, sizes: dict[str, int], near: float) -> str:
    """Return the words for a constant ratio autograd / numeric."""
    if abs(ratio + 1) < near:
        return (
            "the sign is wrong: autograd gives -1 times the numeric value in every entry looked at"
        )
    for what, count in sizes.items():
        for value, words in ((count, f"{what}, {count}"), (1 / count, f"1 / {what}, 1 / {count}")):
            if count > 1 and abs(ratio / value - 1) < near:
                return f"a factor is wrong: autograd gives {ratio:.6g} times it, which is {words}"
    simple = Fraction(ratio).limit_denominator(16 if near <= 1e-3 else 4)
    # A factor next to 1 is not 1: it has the digits that show by how much.
    beyond = abs(ratio - 1)
    close = bool(simple) and abs(float(simple) / ratio - 1) < min(near, _EXPLAINED * beyond)
    digits = max(6, 2 - floor(log10(beyond))) if beyond else 6
    shown = str(simple) if close else f"{float(f'{ratio - 1:.2g}') + 1:.{digits}g}"
    return f"a factor is wrong: autograd gives {shown} times the numeric value in every entry"


def _rearranged(analytic: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the gradient with its entries moved, and the words for each way."""
    if analytic.ndim >= 2 and analytic.shape[0] == analytic.shape[1]:
        yield "it is the transpose of what it should be", analytic.transpose(0, 1)
    if analytic.ndim >= 2 and analytic.shape[-1] == analytic.shape[-2]:
        yield (
            "it is the transpose, in its last two dimensions, of what it should be",
            analytic.transpose(-1, -2),
        )
    for axis in range(analytic.ndim):
        if analytic.shape[axis] > 1:
            for shift in (1, -1):
                yield (
                    f"every entry is that of its neighbour along dimension {axis}",
                    analytic.roll(shift, axis),
                )
            yield (
                f"its entries are in reverse order along dimension {axis}",
                analytic.flip(axis),
            )


def _partly(analytic: Tensor, given: Tensor, numeric: Tensor, near: float) -> str:
    """Return the words where some entries agree, or none of the simple patterns holds."""
    wrong = (given - numeric).abs() > near
    zero = given.abs() <= near * 1e-3
    share = f"{int(wrong.sum())} of {len(given)} entries looked at are wrong"
    if wrong.any() and bool(zero[wrong].all()):
        return f"a term is left out: {share}, and there autograd gives 0"
    limit = _limit(given[wrong], numeric[wrong], near)
    if limit is not None:
        return f"limited to {limit:.6g}: {share}, all larger than that, and autograd gives it there"
    for axis in range(analytic.ndim):
        if analytic.shape[axis] > 1 and _constant(analytic, axis):
            return (
                f"a reduction is wrong: autograd's gradient is the same all along dimension {axis},"
                f" the numeric one is not ({share})"
            )
    if not wrong.all():
        return f"{share}, the others agree"
    ratios = (given / numeric)[numeric.abs() > near]
    if not len(ratios):
        return "the numeric values are 0 where autograd's are not"
    low, high = float(ratios.min()), float(ratios.max())
    return f"no single factor: autograd / numeric lies between {low:.4g} and {high:.4g}"


def _limit(given: Tensor, numeric: Tensor, near: float) -> float | None:
    """Return the size to which wrong values are cut, where all of them are."""
    if not len(given):
        return None
    limit = float(given.abs().max())
    cut = bool((given.abs() >= limit * (1 - 1e-6)).all())
    same = bool((given.sign() == numeric.sign()).all())
    return limit if cut and same and bool((numeric.abs() > limit + near).all()) else None


def _constant(analytic: Tensor, axis: int) -> bool:
    first = analytic.narrow(axis, 0, 1)
    return bool((analytic - first).abs().max() <= 1e-9 * analytic.abs().max())
