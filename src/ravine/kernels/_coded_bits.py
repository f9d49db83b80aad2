"""Codecs inside Numba code: bits of floats, random bits by hashing, block-wise int8.

Imported by generated modules only: importing Numba takes 0.4 s. Arithmetic on 32 bits is written
as intrinsics, because Numba widens every integer operation to 64 bits, at half the speed.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ravine.kernels._coded_layout import (
    BLOCK,
    EXPONENT_BELOW_TOP,
    LEAST_EXPONENT,
    LINE,
    MULTIPLIER,
    ONWARD,
    ROUND_UP,
    SPOILED,
    STRIDE,
    TOGETHER,
    seed,
)
from ravine.kernels._pointers import _pointer_to

pointer_to_uint16 = _pointer_to(types.uint16)
pointer_to_uint32 = _pointer_to(types.uint32)
pointer_to_uint64 = _pointer_to(types.uint64)
pointer_to_int8 = _pointer_to(types.int8)
pointer_to_uint8 = _pointer_to(types.uint8)

_WORD, _HALF, _REAL = ir.IntType(32), ir.IntType(16), ir.FloatType()
_EXACT = {"error_model": "numpy", "nogil": True}  # no fast-math flag: bits are compared
_INFINITY = 0x7F800000
_LINEAR_BELOW, _LINEAR_LEAST = EXPONENT_BELOW_TOP["linear"], LEAST_EXPONENT["linear"]
_ROOT_BELOW, _ROOT_LEAST = EXPONENT_BELOW_TOP["root"], LEAST_EXPONENT["root"]


def _operation(result: Any, arguments: tuple[Any, ...], build: Any) -> Any:
    """Return an intrinsic made of one function of LLVM's builder and the arguments."""

    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return build(builder, *values)

    if len(arguments) == 1:
        return intrinsic(lambda _context, _a: (result(*arguments), codegen))
    return intrinsic(lambda _context, _a, _b: (result(*arguments), codegen))


def _hash(b: Any, number: Any) -> Any:
    mixed = b.mul(b.xor(number, b.lshr(number, _WORD(15))), _WORD(MULTIPLIER))
    return b.xor(mixed, b.lshr(mixed, _WORD(16)))


def _dither(b: Any, value: Any, noise: Any) -> Any:
    # Adding to a NaN's bits could carry into its sign and make it a number.
    kept = b.select(b.fcmp_ordered("ord", value, value), noise, _WORD(0))
    return b.add(b.bitcast(value, _WORD), kept)


def _nearest(b: Any, value: Any) -> Any:
    bits = b.bitcast(value, _WORD)
    odd = b.and_(b.lshr(bits, _WORD(16)), _WORD(1))
    return _dither(b, value, b.add(odd, _WORD(0x7FFF)))  # half a unit, ties to even


_seed = njit(**_EXACT)(seed)


@njit(**_EXACT)
def draw(counter: Any, streams: Any, seeds: Any) -> None:
    """Move a tensor's counter on and write the seeds of its step."""
    counter[0] = counter[0] + ONWARD
    for stream in range(streams):
        seeds[stream] = np.uint32(_seed(counter[0] + np.uint64(stream)))


# The number that the element at a position hashes, and from it that of the next element.
number = _operation(
    types.uint32,
    (types.int64, types.uint32),
    lambda b, i, seed: b.add(b.mul(b.trunc(i, _WORD), _WORD(STRIDE)), seed),
)
onward = _operation(types.uint32, (types.uint32,), lambda b, n: b.add(n, _WORD(STRIDE)))
hashed = _operation(types.uint32, (types.uint32,), _hash)
low = _operation(types.uint32, (types.uint32,), lambda b, h: b.and_(h, _WORD(0xFFFF)))
high = _operation(types.uint32, (types.uint32,), lambda b, h: b.lshr(h, _WORD(16)))

# bfloat16 is the upper half of a float32.
wide = _operation(
    types.float32,
    (types.uint16,),
    lambda b, code: b.bitcast(b.shl(b.zext(code, _WORD), _WORD(16)), _REAL),
)
# Rounded values as 32 bits, of which the upper half is the code and the lower half is left over.
dithered = _operation(types.uint32, (types.float32, types.uint32), _dither)
nearest = _operation(types.uint32, (types.float32,), _nearest)
code = _operation(
    types.uint16, (types.uint32,), lambda b, bits: b.trunc(b.lshr(bits, _WORD(16)), _HALF)
)


@intrinsic
def room(_context: Any) -> Any:
    """Return room for the bits of `TOGETHER` values, which mostly stays in registers."""

    def codegen(_context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        space = cgutils.alloca_once(builder, ir.ArrayType(_WORD, TOGETHER))
        space.align = LINE  # a vector across two lines is read back late
        return builder.bitcast(space, _WORD.as_pointer())

    return types.CPointer(types.uint32)(), codegen


@intrinsic
def pack(_context: Any, _bits: Any, _values: Any, _at: Any) -> Any:
    """Write a room's bits into an array: as float32, or the upper halves as bfloat16 codes.

    Processors take the upper halves of two vectors in one operation, but compilers write one for
    each vector that shifts, another that narrows, and half a store.
    """
    narrow = _values.dtype == types.uint16

    def codegen(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bits, array, at = values
        vector = ir.VectorType(_WORD, TOGETHER // 2)
        place = builder.bitcast(bits, vector.as_pointer())
        both = [builder.load(builder.gep(place, [_WORD(i)]), align=LINE) for i in range(2)]
        data = builder.gep(context.make_array(_values)(context, builder, array).data, [at])
        for i, part in enumerate([_upper_halves(builder, *both)] if narrow else both):
            kind = part.type.as_pointer()
            builder.store(part, builder.gep(builder.bitcast(data, kind), [_WORD(i)]), align=2)
        return at

    return types.int64(_bits, _values, types.int64), codegen


def _upper_halves(b: Any, *words: Any) -> Any:
    halves = [b.bitcast(word, ir.VectorType(_HALF, TOGETHER)) for word in words]
    upper = [_WORD(i) for i in range(int(sys.byteorder == "little"), 2 * TOGETHER, 2)]
    return b.shuffle_vector(*halves, ir.Constant(ir.VectorType(_WORD, TOGETHER), upper))


# The bits of a float32, as a signed and as an unsigned number.
_bits = _operation(types.int32, (types.float32,), lambda b, x: b.bitcast(x, _WORD))
exact = _operation(types.uint32, (types.float32,), lambda b, x: b.bitcast(x, _WORD))
_power_of_two = _operation(
    types.float32,
    (types.int64,),
    lambda b, e: b.bitcast(b.shl(b.trunc(e, _WORD), _WORD(23)), _REAL),
)


@njit(**_EXACT)
def _largest(values: Any) -> np.int32:
    """Return the bits of the largest magnitude: as integers they order floats, NaN last."""
    found = np.int32(0)
    for i in range(values.size):
        found = max(found, _bits(values[i]) & np.int32(0x7FFFFFFF))
    return found


@njit(**_EXACT)
def decode_linear(codes: Any, exponents: Any, values: Any) -> None:
    """Write ``code * scale``."""
    for block in range(exponents.size):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, codes.size)
        _times(codes[begin:end], _power_of_two(exponents[block]), values[begin:end])


@njit(**_EXACT)
def decode_root(codes: Any, exponents: Any, values: Any) -> None:
    """Write ``code**2 * scale``."""
    for block in range(exponents.size):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, codes.size)
        _squared_times(codes[begin:end], _power_of_two(exponents[block]), values[begin:end])


@njit(**_EXACT)
def encode_linear(values: Any, start: Any, shift: Any, codes: Any, exponents: Any) -> None:
    """Write codes and exponents; ``start`` is the first element's number, ``shift`` 0 or 16."""
    for block in range(exponents.size):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, codes.size)
        top = _largest(values[begin:end])
        if top >= _INFINITY:
            exponents[block] = SPOILED
            codes[begin:end] = 0
        else:
            e = max(((top + ROUND_UP) >> 23) - _LINEAR_BELOW, _LINEAR_LEAST)
            exponents[block] = e
            first = number(begin, start)
            _linear_block(values[begin:end], _power_of_two(270 - e), first, shift, codes[begin:end])


@njit(**_EXACT)
def encode_root(values: Any, start: Any, shift: Any, codes: Any, exponents: Any) -> None:
    """Write codes and exponents; ``start`` is the first element's number, ``shift`` 0 or 16."""
    for block in range(exponents.size):
        begin, end = block * BLOCK, min((block + 1) * BLOCK, codes.size)
        top = _largest(values[begin:end])
        if top >= _INFINITY:
            exponents[block] = SPOILED
            codes[begin:end] = 0
        else:
            e = max(((top + ROUND_UP) >> 23) - _ROOT_BELOW, _ROOT_LEAST)
            exponents[block] = e
            first = number(begin, start)
            _root_block(values[begin:end], _power_of_two(254 - e), first, shift, codes[begin:end])


@njit(**_EXACT)
def _times(codes: Any, scale: Any, values: Any) -> None:
    for i in range(codes.size):
        values[i] = np.float32(codes[i]) * scale


@njit(**_EXACT)
def _squared_times(codes: Any, scale: Any, values: Any) -> None:
    for i in range(codes.size):
        root = np.float32(codes[i])
        values[i] = root * root * scale


@njit(**_EXACT)
def _linear_block(values: Any, factor: Any, n: Any, shift: Any, codes: Any) -> None:
    # factor is 2^16 / scale: integer arithmetic, of which the lower 16 bits are rounded away.
    for i in range(codes.size):
        noise = np.int32((hashed(n) >> shift) & np.uint32(0xFFFF))
        n = onward(n)
        codes[i] = np.int32(np.int32(np.rint(values[i] * factor)) + noise) >> np.int32(16)


@njit(**_EXACT)
def _root_block(values: Any, factor: Any, n: Any, shift: Any, codes: Any) -> None:
    one, unit = np.float32(1), np.float32(2.0**-16)
    for i in range(codes.size):
        noise = np.float32(np.int32((hashed(n) >> shift) & np.uint32(0xFFFF))) * unit
        n = onward(n)
        square = max(values[i], np.float32(0)) * factor
        root = np.float32(np.int32(np.sqrt(square)))
        # Up with probability (square - root^2) / ((root + 1)^2 - root^2): unbiased in the square.
        up = square - root * root > noise * (root + root + one)
        codes[i] = max(np.int32(root) + np.int32(up), np.int32(values[i] > 0))
