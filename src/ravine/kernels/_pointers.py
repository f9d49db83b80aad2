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
def call1(_context: Any, _function: Any, _a: Any) -> Any:
    """Call the C function at an address; its argument and result are words."""
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


@intrinsic
def prefetch(_context: Any, _array: Any, _index: Any) -> Any:
    """Call for the cache line of an element of a pointer or array; it need not exist."""

    def codegen(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        array, index = values
        if isinstance(_array, types.Array):
            array = context.make_array(_array)(context, builder, array).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = builder.module.globals.get("llvm.prefetch.p0i8") or ir.Function(
            builder.module, kind, "llvm.prefetch.p0i8"
        )
        read, every_cache, data = flag(0), flag(3), flag(1)
        place = builder.bitcast(builder.gep(array, [index]), byte)
        builder.call(function, [place, read, every_cache, data])
        return index

    return types.int64(_array, types.int64), codegen
