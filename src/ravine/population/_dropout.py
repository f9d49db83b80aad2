"""Dropout whose masks are a function of member seed, step and layer.

torch draws masks from one global stream, so a member's masks would depend on who else trains.
Here a mask entry is a hash of counter and key: the same whatever runs beside it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ravine.core.seeding import rng

# How many leading axes of [B, C, ...] a mask covers; the others share it.
_FEATURE_DROPOUT = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_WORD = 0xFFFFFFFF


class KeyedDropout(nn.Module):
    """Zero each entry with probability p and scale the others by ``1 / (1 - p)``.

    Args:
        p: Probability, in [0, 1].
        axes: Leading axes that the mask covers; 0 means all.
    """

    key: Tensor

    def __init__(self, p: float, axes: int = 0) -> None:
        super().__init__()
        self.p, self.axes = p, axes
        # Key and number of steps made: a buffer, so that each member of a stack has its own.
        self.register_buffer("key", torch.zeros(2, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Return x with a mask for the present step; the next call in training is the next."""
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0
        shape = x.shape[: self.axes] + (1,) * (x.ndim - self.axes) if self.axes else x.shape
        count = int(torch.Size(shape).numel())
        counter = torch.arange(count, device=x.device).reshape(shape)
        uniform = _hash(counter ^ _hash(self.key[1] ^ _hash(self.key[0]))) * 2.0**-32
        self.key.add_(torch.tensor([0, 1], device=x.device))
        return x * (uniform >= self.p).to(x.dtype) / (1 - self.p)


def _hash(x: Tensor) -> Tensor:
    """Mix 32 bits held in int64; a bijection with little bias (Wellons 2018, lowbias32)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _WORD
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _WORD
    return x ^ (x >> 16)


def key_dropout(model: nn.Module) -> nn.Module:
    """Replace a model's dropout layers by keyed ones, in place, and return it."""
    for parent, name, layer in list(_dropout_layers(model)):
        axes = 2 if isinstance(layer, _FEATURE_DROPOUT) else 0
        setattr(parent, name, KeyedDropout(layer.p, axes).train(layer.training))
    return model


def seed_dropout(model: nn.Module, seed: int) -> None:
    """Give each keyed dropout layer of a model the key of a member's seed, at step 0."""
    keyed = [layer for layer in model.modules() if isinstance(layer, KeyedDropout)]
    for index, layer in enumerate(keyed):
        word = int(rng(seed, "dropout", index).integers(2**32))
        layer.key.copy_(torch.tensor([word, 0]))


def _dropout_layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    for parent in model.modules():
        for name, layer in parent.named_children():
            if type(layer) in (nn.Dropout, *_FEATURE_DROPOUT):
                yield parent, name, layer
