"""Addresses inside Numba code: as typed pointers, and as functions to call."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _pointer_to(number: types.Number) -> Any:
    @intrinsic
    def pointer(_context: Any, _address: Any) -> Any:
        def codegen(_context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], _context.get_value_type(signature.return_type))

        return types.CPointer(number)(types.int64), codegen

    return pointer


pointer_to_float32 = _pointer_to(types.float32)
pointer_to_float64 = _pointer_to(types.float64)
pointer_to_int64 = _pointer_to(types.int64)


def _call(arguments: int) -> Any:
    word = ir.IntType(64)

    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(word, [word] * arguments).as_pointer()
        return builder.call(builder.inttoptr(values[0], kind), list(values[1:]))

    return types.int64(*[types.int64] * (1 + arguments)), codegen


@intrinsic
def call0(_context: Any, _function: Any) -> Any:
    """Call the C function at an address; arguments and result are words."""
    return _call(0)


@intrinsic
def call1(_context: Any, _function: Any, _a: Any) -> Any:
    """Call a C function of one argument."""
    return _call(1)


@intrinsic
def call2(_context: Any, _function: Any, _a: Any, _b: Any) -> Any:
    """Call a C function of two arguments."""
    return _call(2)


@intrinsic
def call4(_context: Any, _function: Any, _a: Any, _b: Any, _c: Any, _d: Any) -> Any:
    """Call a C function of four arguments."""
    return _call(4)


@intrinsic
def call5(_context: Any, _function: Any, _a: Any, _b: Any, _c: Any, _d: Any, _e: Any) -> Any:
    """Call a C function of five arguments."""
    return _call(5)
