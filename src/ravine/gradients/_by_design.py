"""Gradients that are no derivatives by design, told by switching the design off."""

from collections.abc import Sequence

import torch
from torch import nn

from ravine.gradients._sandbox import Sandbox
from ravine.gradients._slope import SAFETY, Slope

_NEAR = 1e-4  # of a slope


def scaled_by_frequency(
    box: Sandbox, which: int, entries: Sequence[int], slopes: Sequence[Slope]
) -> str | None:
    """Return words where `scale_grad_by_freq` alone explains what disagrees.

    Args:
        box: The sandbox, at the point.
        which: Number of the tensor.
        entries: Flat indices of its entries that disagree.
        slopes: Of these.
    """
    modules = [
        one
        for one in box.whole.modules()
        if isinstance(one, nn.Embedding | nn.EmbeddingBag)
        and one.weight is box.subjects[which]
        and one.scale_grad_by_freq
    ]
    if not modules or not entries:
        return None
    for one in modules:
        one.scale_grad_by_freq = False
    try:
        (plain,) = torch.autograd.grad(box.loss(), [box.subjects[which]])
    finally:
        for one in modules:
            one.scale_grad_by_freq = True
    flat = plain.reshape(-1)
    for entry, slope in zip(entries, slopes, strict=True):
        off = abs(float(flat[entry]) - slope.numeric)
        if off > _NEAR * abs(slope.numeric) + SAFETY * slope.error:
            return None
    return (
        "scale_grad_by_freq: each row's gradient is divided by how often the row is used, by"
        " design; without that, the gradient agrees"
    )
