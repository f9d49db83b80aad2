"""Addresses as typed pointers inside Numba code."""

from typing import Any

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
