"""Gradients far below the largest: small ones, told from zeros with autograd's rounding."""

from typing import TYPE_CHECKING

import torch

from ravine.gradients._slope import Scales

if TYPE_CHECKING:
    from ravine.gradients._place import Place

_CHANGED = 0.1  # of a gradient: rounding changes by all of itself


def faint(place: "Place") -> frozenset[int]:
    """Return the subjects whose gradient is tiny beside the largest, and yet no rounding.

    It is the same at a point very close by, where rounding is another.
    """
    box, given = place.box, place.gradients
    floor = Scales.of(box.dtype, place.largest).floor
    few = [t for t in place.known if 0 < place.contribution(t) <= floor]
    if not few:
        return frozenset()
    moves = place.direction(place.known, torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            for t, move in moves.items():
                box.subjects[t].add_(move, alpha=torch.finfo(box.dtype).eps ** 0.5)
        close = torch.autograd.grad(box.loss(), [box.subjects[t] for t in few], allow_unused=True)
    except Exception:  # it can be evaluated at the point: here it leaves its domain
        return frozenset()
    finally:
        with torch.no_grad():
            for t in moves:
                box.subjects[t].copy_(place.base[t])
    return frozenset(
        t
        for t, near in zip(few, close, strict=True)
        if (here := given[t]) is not None
        and near is not None
        and float((near - here).norm()) < _CHANGED * float(here.norm())
    )
