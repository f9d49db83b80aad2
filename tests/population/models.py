"""Models of a user's own, as factories of input shape and number of classes."""

from math import prod
from zlib import crc32

import numpy as np
import torch
from torch import nn
from torch.nn.functional import dropout


def batchnorm1d(shape, classes):
    # No bias before BatchNorm: its gradient is zero but for rounding, which Adam blows up.
    first = nn.Linear(prod(shape), 7, bias=False)
    return nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, classes))


def batchnorm2d(shape, classes):
    first = nn.Conv2d(shape[0], 5, 3, bias=False)
    pixels = 5 * (shape[1] - 2) * (shape[2] - 2)
    last = nn.Linear(pixels, classes)
    return nn.Sequential(first, nn.BatchNorm2d(5, momentum=0.3), nn.Tanh(), nn.Flatten(), last)


def dropouts(shape, classes):
    """Dropout of entries twice and of whole channels once."""
    pixels = 4 * (shape[1] - 2) * (shape[2] - 2)
    image = [nn.Conv2d(shape[0], 4, 3), nn.Tanh(), nn.Dropout2d(0.25), nn.Flatten()]
    flat = [nn.Dropout(0.5), nn.Linear(pixels, 9), nn.Tanh(), nn.Dropout(0.1)]
    return nn.Sequential(*image, *flat, nn.Linear(9, classes))


def everything(shape, classes):
    """Odd widths, BatchNorm, dropout and a frozen layer: all that slots could mix up."""
    return _odd(shape, classes, nn.BatchNorm1d(7))


def without_batchnorm(shape, classes):
    """The same without BatchNorm."""
    return _odd(shape, classes, nn.Identity())


def _odd(shape, classes, middle):
    frozen = nn.Linear(prod(shape), 13)
    frozen.requires_grad_(False)
    inner = [nn.Tanh(), nn.Linear(13, 7, bias=False), middle, nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(nn.Flatten(), frozen, *inner, nn.Linear(7, classes))


class PlainDropout(nn.Module):
    """The keyed masks once more: 32-bit integers of NumPy, one generator per seed and layer.

    Args:
        p: probability that an entry, or a channel, becomes 0.
        channels: whether all of a channel shares one entry of the mask.
        seed: the member's.
        layer: number of this dropout layer in the model.
    """

    def __init__(self, p, channels, seed, layer):
        super().__init__()
        self.p, self.channels, self.calls = p, channels, 0
        self.word = np.random.default_rng([seed, crc32(b"dropout"), layer]).integers(2**32)

    def forward(self, x):
        if not self.training:
            return x
        shape = (*x.shape[:2], *[1] * (x.ndim - 2)) if self.channels else tuple(x.shape)
        key = lowbias32(np.uint32([self.calls]) ^ lowbias32(np.uint32([self.word])))
        mixed = lowbias32(np.arange(np.prod(shape), dtype=np.uint32) ^ key)
        kept = mixed.astype(np.float32) / np.float32(2**32) >= np.float32(self.p)
        self.calls += 1
        return x * torch.from_numpy(kept.reshape(shape)) / (1 - self.p)


def lowbias32(x):
    """Return Wellons' integer hash of uint32 values."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


class Branching(nn.Module):
    """Control flow that depends on the data: no vmap can run it."""

    def __init__(self, shape, classes):
        super().__init__()
        self.first, self.last = nn.Linear(prod(shape), 8), nn.Linear(8, classes)

    def forward(self, x):
        hidden = self.first(x.flatten(1))
        return self.last(torch.tanh(hidden * 2 if hidden.sum() > 0 else hidden))


class OldCube(torch.autograd.Function):
    """x^3 in the old style: one static method for forward and context, no rule for vmap."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Cubed(nn.Module):
    """A network with an old-style function in it."""

    def __init__(self, shape, classes):
        super().__init__()
        self.first, self.last = nn.Linear(prod(shape), 8), nn.Linear(8, classes)

    def forward(self, x):
        return self.last(OldCube.apply(torch.tanh(self.first(x.flatten(1)))))


class Forgetful(nn.Module):
    """Dropout as a function call, which cannot be replaced by a keyed layer."""

    def __init__(self, shape, classes):
        super().__init__()
        self.first, self.last = nn.Linear(prod(shape), 8), nn.Linear(8, classes)

    def forward(self, x):
        hidden = torch.tanh(self.first(x.flatten(1)))
        return self.last(dropout(hidden, 0.3, self.training))
