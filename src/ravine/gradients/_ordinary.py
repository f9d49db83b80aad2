"""Gradients as in ordinary training, where inputs need none: the same as when they do?"""

from math import isfinite

import torch
from torch import Tensor

from ravine.gradients._analytic import Analytic, gradients_of
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox

_ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-3}  # torch may then take another kernel
_UNIMPORTANT = 1e-2  # of the whole gradient: a tensor's that is smaller may be rounding alone


def ordinary_findings(box: Sandbox, analytic: Analytic) -> tuple[list[Finding], str | None]:
    """Return an error per parameter whose gradient is another where the batch needs none.

    Also a notice where the loss itself is another then: only the one was checked.

    Args:
        box: Its float inputs all need gradients, so that they can be checked.
        analytic: Gradients there.
    """
    if all(box.needed):
        return [], None
    try:
        loss, found = _as_given(box)
    except Exception:  # a model that takes gradients by its inputs needs them to need some
        return [], None
    near = _ROUNDING[box.dtype]
    if abs(loss - analytic.loss) > near * abs(analytic.loss):
        return [], (
            f"the loss is {loss:.6g} where inputs need no gradient and {analytic.loss:.6g} where"
            " they do; the latter was checked"
        )
    sizes = [float(one.norm()) for one in analytic.gradients if one is not None]
    whole = sum(size**2 for size in sizes if isfinite(size)) ** 0.5
    return [
        _finding(box.names[which], found[which], first)
        for which, first in enumerate(analytic.gradients)
        if box.needed[which]
        and first is not None
        and _apart(found[which], first) > near * max(float(first.norm()), _UNIMPORTANT * whole)
    ], None


def _as_given(box: Sandbox) -> tuple[float, list[Tensor | None]]:
    """Return loss and gradients with inputs that need gradients only where the caller's do."""
    inputs = [one for one, needs in zip(box.subjects, box.needed, strict=True) if not needs]
    for one in inputs:
        one.requires_grad_(False)
    try:
        loss = box.loss()
        wanted = [one for one in box.subjects if one.requires_grad]
        found = iter(
            gradients_of(loss, wanted, box.loss) if loss.requires_grad else [None] * len(wanted)
        )
        return float(loss.detach()), [next(found) if n else None for n in box.needed]
    finally:
        for one in inputs:
            one.requires_grad_()


def _apart(found: Tensor | None, first: Tensor) -> float:
    return float((first if found is None else found - first).norm())


def _finding(name: str, found: Tensor | None, first: Tensor) -> Finding:
    where = "only where inputs need no gradient, as in ordinary training: there"
    if found is None:
        said = (
            f"{where} it gets none. Reentrant checkpoints, and functions that ask"
            " ctx.needs_input_grad, may depend on it"
        )
        return Finding(name, "backward", said, error=True)
    flat = int((found - first).abs().argmax())
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), first.shape))
    off = _apart(found, first) / max(float(first.norm()), 1e-300)
    said = (
        f"{where} autograd's gradient differs by {off:.1%} from the one checked (shown as"
        " numeric); look where a backward asks ctx.needs_input_grad"
    )
    return Finding(name, "backward", said, True, index, float(found[index]), float(first[index]))
