"""How weights and states lie in memory in few bits: what the kernel and torch's codecs agree on.

A *codec* says how one array is stored. ``"float32"`` as it is. ``"bfloat16"``: the upper half of a
float32, rounded stochastically; ``"nearest"``: the same, rounded to nearest. ``"linear"``: int8
codes, blocks of 256 with one scale each, ``value = code * scale``. ``"root"``: uint8 codes of a
square root, ``value = code**2 * scale``.

Scales are powers of two, the smallest at which a block's largest value has a code, and are stored
as a byte, the exponent of a float32. So they change rarely: a scale that followed the largest value
would round all others of its block anew at every step. Decoding is exact, whatever a compiler
fuses; and all that is stored are small integers, which survive any cast of a checkpoint's loader.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Values per scale of a block-wise codec.
BLOCK = 256

CODECS = ("float32", "bfloat16", "nearest", "linear", "root")
BLOCKWISE = ("linear", "root")
STOCHASTIC = ("bfloat16", *BLOCKWISE)
ROUNDINGS = ("nearest", "stochastic", "kahan")

# Values whose bfloat16 codes are written at once: two of the widest vectors; and bytes that come
# into a processor's cache together.
TOGETHER, LINE = 32, 64

# Scales never fall below 2^-100 (linear) and 2^-120 (root), so that neither they nor their
# reciprocals leave float32: exponents as stored, biased by 127.
LEAST_EXPONENT = {"linear": 27, "root": 7}
# Of a block that held an infinite value or NaN: its codes are 0, and 0 times infinity is NaN.
SPOILED = 255
# The largest value is 127 = 1.984375 * 2^6 or 255^2 > 1.984375 * 2^15 times the scale.
EXPONENT_BELOW_TOP = {"linear": 6, "root": 15}
# Added to a float's bits, it moves those above 1.984375 * 2^k to the next exponent.
ROUND_UP = 0x1FFFF

# Element i of a tensor hashes the number seed + i * STRIDE (Weyl 1916: golden ratio times 2^32,
# odd, so that all 2^32 numbers come up); MULTIPLIER is from lowbias32 (Wellons 2018). One round of
# it is enough: bits of one weight at different steps are independent through the seeds, those of
# different weights correlate by a few hundredths at most; a second round takes a tenth of a step.
# Squares of odd numbers, which take two operations less, are not spread as evenly.
STRIDE = 0x9E3779B9
MULTIPLIER = 0x846CA68B

# Counters of random bits, one per tensor, move by this at every step, and so run through all 64-bit
# numbers: the golden ratio times 2^64, odd.
ONWARD = np.uint64(0x9E3779B97F4A7C15)
# SplitMix (Steele, Lea & Flood 2014) with the finalizer of Stafford's variant 13.
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_UPPER_HALF = np.uint64(32)


@dataclass(frozen=True)
class Coding:
    """How a kernel's arrays are stored.

    Args:
        weights: Of weights and gradients: ``"float32"`` or ``"nearest"`` (bfloat16).
        states: A codec per state of the rule.
        rounding: Of bfloat16 weights: ``"nearest"``, ``"stochastic"`` or ``"kahan"``.
    """

    weights: str
    states: tuple[str, ...]
    rounding: str = "nearest"

    @property
    def slots(self) -> dict[int, int]:
        """Which 16 random bits an array takes: array (-1 for weights) to slot, two per hash."""
        rounded = [i for i, codec in enumerate(self.states) if codec in STOCHASTIC]
        rounded += [-1] if self.rounding == "stochastic" else []
        return {array: slot for slot, array in enumerate(rounded)}

    @property
    def streams(self) -> int:
        """Number of hashes per element; at least one."""
        return max(1, (len(self.slots) + 1) // 2)


def seeds(counters: NDArray[np.uint64], streams: int) -> NDArray[np.uint32]:
    """Return the seeds [tensors, streams] of one step's random numbers.

    Args:
        counters: A number per tensor that moves by `ONWARD` at every step.
        streams: Hashes per element.
    """
    return seed(counters[:, None] + np.arange(streams).astype(np.uint64)).astype(np.uint32)


def seed(z: Any) -> Any:
    """Return 32 random bits from each 64-bit number; compiled code runs this same function."""
    z = (z ^ (z >> _SHIFTS[0])) * _FACTORS[0]
    z = (z ^ (z >> _SHIFTS[1])) * _FACTORS[1]
    return (z ^ (z >> _SHIFTS[2])) >> _UPPER_HALF
