"""Codecs in torch: the reference for what the kernel does to bits, on every device.

Random bits are a hash of a seed and of an element's place in memory, so rounding is the same
wherever and whenever it runs.
"""

import torch
from torch import Tensor

from ravine.kernels._coded_layout import (
    BLOCK,
    EXPONENT_BELOW_TOP,
    LEAST_EXPONENT,
    MULTIPLIER,
    ROUND_UP,
    SPOILED,
    STRIDE,
)

CODE_DTYPES = {"linear": torch.int8, "root": torch.uint8}
_WORD = 0xFFFFFFFF
_INFINITY = 0x7F800000


def in_memory_order(tensor: Tensor) -> Tensor:
    """Return a dense tensor's elements [numel] as they follow each other in memory."""
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())


def noise(seed: int, half: int, like: Tensor) -> Tensor:
    """Return 16 random bits per element, as int64 in memory order.

    Args:
        seed: Of one tensor and step, 32 bits.
        half: 0 for the lower half of the hash, 1 for the upper.
        like: Tensor whose number of elements and device to take.
    """
    number = (torch.arange(like.numel(), device=like.device) * STRIDE + seed) & _WORD
    number = ((number ^ (number >> 15)) * MULTIPLIER) & _WORD
    return ((number ^ (number >> 16)) >> (16 * half)) & 0xFFFF


def dither(values: Tensor, random: Tensor) -> Tensor:
    """Return float32 values [n] as bfloat16, rounded up with the probability of what is cut off.

    NaN stays NaN if it is quiet, as arithmetic leaves it; infinite values stay. The largest values
    may round to infinity, as they do to nearest.
    """
    bits = values.view(torch.int32).long() & _WORD
    bits = torch.where(values.isnan(), bits, bits + random)
    halves = (bits >> 16) & 0xFFFF
    return (halves - ((halves & 0x8000) << 1)).to(torch.int16).view(torch.bfloat16)


def encode(codec: str, values: Tensor, random: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return codes and exponents of float32 values [n] in blocks.

    Args:
        codec: ``"linear"`` or ``"root"``, which takes negative values as 0.
        values: What to store, in memory order.
        random: 16 bits per value; to nearest where None.

    Returns:
        Codes [n] and one exponent per block.
    """
    blocks = -(-values.numel() // BLOCK)
    padded = torch.nn.functional.pad(values, (0, blocks * BLOCK - values.numel()))
    padded = padded.view(blocks, BLOCK)
    magnitude = padded.view(torch.int32) & 0x7FFFFFFF
    top = magnitude.amax(1, keepdim=True) if blocks else magnitude.new_zeros(0, 1)
    spoiled = top >= _INFINITY
    exponent = ((top + ROUND_UP) >> 23) - EXPONENT_BELOW_TOP[codec]
    exponent = exponent.clamp(min=LEAST_EXPONENT[codec])
    usable = torch.where(spoiled, 0.0, padded)
    places = (values.numel(), usable, random)
    codes = _linear(exponent, *places) if codec == "linear" else _root(exponent, *places)
    stored = torch.where(spoiled, SPOILED, exponent).to(torch.uint8).view(-1)
    return codes.to(CODE_DTYPES[codec]), stored


def decode(codec: str, codes: Tensor, exponents: Tensor) -> Tensor:
    """Return the float32 values [n] of codes [n] with one exponent per block."""
    scale = _power_of_two(exponents.int()).repeat_interleave(BLOCK)[: codes.numel()]
    values = codes.float()
    return (values if codec == "linear" else values * values) * scale


def _linear(exponent: Tensor, count: int, values: Tensor, random: Tensor | None) -> Tensor:
    fixed = (values * _power_of_two(270 - exponent)).round().int().view(-1)[:count]
    # Adding a half and cutting off rounds to nearest, as random bits do stochastically.
    return (fixed + (0x8000 if random is None else random)) >> 16


def _root(exponent: Tensor, count: int, values: Tensor, random: Tensor | None) -> Tensor:
    square = (values.clamp(min=0) * _power_of_two(254 - exponent)).view(-1)[:count]
    root = square.sqrt().floor()
    share = 0.5 if random is None else random.float() * 2.0**-16
    up = square - root * root > share * (root + root + 1)
    # A positive value never becomes 0: a step divides by its root.
    return torch.maximum(root.int() + up, (values.view(-1)[:count] > 0).int())


def _power_of_two(exponent: Tensor) -> Tensor:
    return (exponent << 23).int().view(torch.float32)
