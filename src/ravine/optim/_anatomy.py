"""Where things stand inside tensors: places in memory, found by trying them on a few tensors."""

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Of so many dimensions, sizes and strides lie within a tensor's implementation.
WITHIN = 5
_WORDS = 24  # of an implementation that are looked through
_KEPT = 8  # of what autograd keeps


class Anatomy(NamedTuple):
    """Places, in bytes from the start of what they are in.

    Args:
        implementation: In a tensor's Python object, the address of its implementation.
        storage: In an implementation, the address of its storage.
        sizes: In an implementation, the sizes; the number of dimensions stands before them.
        strides: In an implementation, the strides.
        keys: In an implementation, the bits that tell dense from sparse, plain from negated, CPU
            from other devices.
        data: In a storage, the address of its memory.
        autograd: In an implementation, the address of what autograd keeps of it; 0 for nothing.
        gradient: There, the address of the gradient's implementation.
        plain: The keys of a dense, plain tensor on the CPU.
        absent: The implementation that stands for no gradient.
    """

    implementation: int
    storage: int
    sizes: int
    strides: int
    keys: int
    data: int
    autograd: int
    gradient: int
    plain: int
    absent: int

    @property
    def first(self) -> int:
        """Where in an implementation begins what makes out how a tensor lies in its storage."""
        return self.sizes - 8

    @property
    def words(self) -> int:
        """How many words of it there are: sizes, strides, offset, dtype, device, keys."""
        return (self.keys + 8 - self.first) // 8


@cache
def anatomy() -> Anatomy:
    """Return the places in this torch's tensors.

    Raises:
        ValueError: When one of them cannot be found.
    """
    if sys.implementation.name != "cpython":
        raise ValueError("objects have no address")
    base = torch.zeros(4, 5, 7, 11, 13)
    tensors = [base, base[1:3, 2:, 3:, 4:].transpose(0, 4), torch.from_numpy(np.zeros((3, 2)))]
    objects = [words(id(t), 4) for t in tensors]
    bodies = [words(t._cdata, _WORDS) for t in tensors]
    storages = [words(t.untyped_storage()._cdata, 8) for t in tensors]
    negated = torch._neg_view(base)
    kept, gradient, absent = _kept_by_autograd()
    found = Anatomy(
        _place(objects, [[t._cdata] for t in tensors]),
        _place(bodies, [[t.untyped_storage()._cdata] for t in tensors]),
        _place(bodies, [[t.dim(), *t.shape] for t in tensors]) + 8,
        _place(bodies, [list(t.stride()) for t in tensors]),
        _place([*bodies, words(negated._cdata, _WORDS)], [[_keys(t)] for t in (*tensors, negated)]),
        _place(storages, [[t.untyped_storage().data_ptr()] for t in tensors]),
        kept,
        gradient,
        _keys(base),
        absent,
    )
    pairs = [(torch.zeros(2), torch.zeros(2, dtype=torch.int32)), (base[0, 0], base[1, 1])]
    if found.words < WITHIN or any(picture(found, a) == picture(found, b) for a, b in pairs):
        raise ValueError("dtype and offset do not stand where sizes do")
    return found


def _kept_by_autograd() -> tuple[int, int, int]:
    """Return where a tensor's gradient is found, and what stands there for none."""
    tensor, gradient = torch.zeros(2), torch.zeros(2)
    before = words(tensor._cdata, _WORDS)
    tensor.requires_grad_()
    after = words(tensor._cdata, _WORDS)
    # What autograd keeps begins with this flag; a word that became an address must be its place.
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    if len(changed) != 1 or before[changed[0]] != 0:
        raise ValueError("autograd keeps gradients otherwise than in the versions known")
    kept = after[changed[0]]
    tensor.grad = gradient
    place = _place([words(kept, _KEPT)], [[gradient._cdata]])
    tensor.grad = None
    return 8 * changed[0], place, words(kept + place, 1)[0]


def words(address: int, count: int) -> list[int]:
    """Return words of memory."""
    return list((ctypes.c_int64 * count).from_address(address))


def picture(found: Anatomy, tensor: Tensor) -> list[int]:
    """Return the words that make out how a tensor lies in its storage."""
    return words(tensor._cdata + found.first, found.words)


def _keys(tensor: Tensor) -> int:
    bits: int = torch._C._dispatch_keys(tensor).raw_repr()
    return bits - 2**64 if bits >= 2**63 else bits


def _place(memories: Sequence[list[int]], wanted: Sequence[list[int]]) -> int:
    """Return the first place at which every piece of memory holds what is wanted of it."""
    for i in range(min(map(len, memories))):
        if all(m[i : i + len(w)] == w for m, w in zip(memories, wanted, strict=True)):
            return 8 * i
    raise ValueError("tensors are made otherwise than in the versions known")
