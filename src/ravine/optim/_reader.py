"""Compiled code that looks at hundreds of tensors in microseconds, through C interfaces.

In Python each look at a tensor, ``p.grad`` or ``p.data_ptr()``, takes 60 nanoseconds, and a step
needs about ten of them per parameter: more than the update itself where tensors are small. Here
CPython's C functions and torch's C shim (``aoti_torch_*``, made for compiled models) are called
from compiled code. Everything in this file runs with the interpreter's lock held.

All tables are plain pointers to words: code about arrays would take Numba three times as long to
compile, and be no faster.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ravine.kernels import load_lightly

# Places in the table of functions, in the order of their names in `_live.py`.
GET_ATTRIBUTE, RELEASE, TYPE_OF, CLEAR_ERROR = 0, 1, 2, 3
LIST_SIZE, LIST_ITEM, DICT_NEXT, DICT_ITEM = 4, 5, 6, 7
DATA, DIM, SIZES, STRIDES, DTYPE, DEVICE = 8, 9, 10, 11, 12, 13

# Called from compiled code only: what Python would call them by need not be compiled.
_inner = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _call(arguments: int) -> Any:
    word = ir.IntType(64)

    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(word, [word] * arguments).as_pointer()
        return builder.call(builder.inttoptr(values[0], kind), list(values[1:]))

    return types.int64(*[types.int64] * (1 + arguments)), codegen


@intrinsic
def _call0(_context: Any, _function: Any) -> Any:
    return _call(0)


@intrinsic
def _call1(_context: Any, _function: Any, _a: Any) -> Any:
    return _call(1)


@intrinsic
def _call2(_context: Any, _function: Any, _a: Any, _b: Any) -> Any:
    return _call(2)


@intrinsic
def _call4(_context: Any, _function: Any, _a: Any, _b: Any, _c: Any, _d: Any) -> Any:
    return _call(4)


@intrinsic
def _words(_context: Any, _address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int64)(types.int64), codegen


@intrinsic
def _store(_context: Any, _address: Any, _value: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        builder.store(values[1], builder.inttoptr(values[0], ir.IntType(64).as_pointer()))
        return values[1]

    return types.int64(types.int64, types.int64), codegen


@_inner
def _ask(functions, which, tensor, answer):  # type: ignore[no-untyped-def]
    """Return what one of the shim's functions says of a tensor; -1 where it fails."""
    _store(answer, 0)  # some write four of the eight bytes
    failed = _call2(functions[which], tensor, answer) & 0xFFFFFFFF
    return -1 if failed else _words(answer)[0]


@_inner
def _laid_out(functions, tensor, answer, layout):  # type: ignore[no-untyped-def]
    """Whether a tensor has a layout's sizes, and its strides where a size is not 1."""
    dim = layout[0]
    if _ask(functions, DIM, tensor, answer) != dim:
        return False
    sizes = _words(_ask(functions, SIZES, tensor, answer))
    strides = _words(_ask(functions, STRIDES, tensor, answer))
    for i in range(dim):
        size = layout[1 + 2 * i]
        if sizes[i] != size or (size != 1 and strides[i] != layout[2 + 2 * i]):
            return False
    return True


@_inner
def _gradient(functions, names, parameter):  # type: ignore[no-untyped-def]
    """Return the address of a gradient's implementation; 0 for None, -1 for anything else.

    `names` holds the addresses of "grad", None and the class Tensor, and the implementation's
    place in an object.
    """
    found = _call2(functions[GET_ATTRIBUTE], parameter, names[0])
    if found == 0:
        _call0(functions[CLEAR_ERROR])
        return -1
    kind = _call1(functions[TYPE_OF], found)
    address = -1
    if found == names[1]:
        address = 0
    elif kind == names[2]:
        address = _words(found + names[3])[0]
    # The parameter goes on holding the implementation.
    _call1(functions[RELEASE], kind)
    _call1(functions[RELEASE], found)
    return address


@_inner
def _same_parameters(functions, lists, counts, groups, parameters):  # type: ignore[no-untyped-def]
    k = 0
    for i in range(groups):
        if _call1(functions[LIST_SIZE], lists[i]) != counts[i]:
            return False
        for j in range(counts[i]):
            if _call2(functions[LIST_ITEM], lists[i], j) != parameters[k]:
                return False
            k += 1
    return True


@_inner
def _same_entries(functions, states, entries, count, answer):  # type: ignore[no-untyped-def]
    """Whether the dictionary of states still has the same keys and values."""
    found = _words(answer)
    _store(answer, 0)
    for i in range(count):
        more = _call4(functions[DICT_NEXT], states, answer, answer + 8, answer + 16) & 0xFFFFFFFF
        if more == 0 or found[1] != entries[2 * i] or found[2] != entries[2 * i + 1]:
            return False
    more = _call4(functions[DICT_NEXT], states, answer, answer + 8, answer + 16) & 0xFFFFFFFF
    return more == 0


@_inner
def _lies_there(functions, answer, first, columns, addresses, layout):  # type: ignore[no-untyped-def]
    """Whether a parameter and its states lie where they did, and the parameter as it did."""
    for column in range(columns):
        # Where the memory is the same, so are its kind and device.
        if column != 1 and (_ask(functions, DATA, first + 8 * column, answer) != addresses[column]):
            return False
    return _laid_out(functions, first, answer, layout)


@_inner
def _as_it_is(functions, answer, gradient, kind, layout):  # type: ignore[no-untyped-def]
    """Whether a gradient can be read as it is."""
    return (
        _ask(functions, DTYPE, gradient, answer) == kind[0]
        and _ask(functions, DEVICE, gradient, answer) == kind[1]
        and _laid_out(functions, gradient, answer, layout)
    )


@njit(cache=True)
def read(tables):  # type: ignore[no-untyped-def]
    """Write where the gradients lie now; return how many of them must be copied first.

    Args:
        tables: Address of counts and addresses, in the order in which they are taken apart here:
            numbers of groups, parameters, entries, rows, keys, columns, and words per layout;
            work space of three words; the C functions; the `names` of `_gradient`; dtype and
            device type in the shim's numbers; the groups' lists and their lengths; all parameters
            and the row of each, -1 without a gradient; the dictionary of states with its keys and
            values; the rows' states, the keys in them and what they hold; the implementations
            [rows, columns], where gradients are written; the layouts (dimensions, then size and
            stride of each); whether a row has a single element; the data [rows, columns], where
            gradients are written; and whether a gradient must be copied, written.

    Returns:
        The count; -1 where anything else is not as it was.
    """
    a = _words(tables)
    groups, members, entered, rows, held, columns, width = a[0], a[1], a[2], a[3], a[4], a[5], a[6]
    answer, functions, names, kind = a[7], _words(a[8]), _words(a[9]), _words(a[10])
    parameters, places = _words(a[13]), _words(a[14])
    if not _same_parameters(functions, _words(a[11]), _words(a[12]), groups, parameters):
        return -1
    if held and not _same_entries(functions, a[15], _words(a[16]), entered, answer):
        return -1
    dicts, keys, known, single = _words(a[17]), _words(a[18]), _words(a[19]), _words(a[22])
    for row in range(rows):
        for k in range(held):
            if _call2(functions[DICT_ITEM], dicts[row], keys[k]) != known[row * held + k]:
                return -1
    copied = 0
    for i in range(members):
        row = places[i]
        gradient = _gradient(functions, names, parameters[i])
        if gradient < 0 or (gradient == 0) != (row < 0):
            return -1
        if row < 0:
            continue
        at = 8 * row * columns
        first, layout = a[20] + at, _words(a[21] + 8 * row * width)
        if not _lies_there(functions, answer, first, columns, _words(a[23] + at), layout):
            return -1
        _store(first + 8, gradient)
        _store(a[23] + at + 8, _ask(functions, DATA, first + 8, answer))
        # A single element may be a negated view, which its layout does not show. Longer ones that
        # autograd makes lie apart in memory; contiguous ones, by torch._neg_view, are misread.
        fine = single[row] == 0 and _as_it_is(functions, answer, first + 8, kind, layout)
        _store(a[24] + 8 * row, 0 if fine else 1)
        copied += 0 if fine else 1
    return copied


load_lightly(read)
