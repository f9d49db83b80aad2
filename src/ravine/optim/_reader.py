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
from ravine.kernels._pointers import call0, call1, call2, call4
from ravine.kernels._pointers import pointer_to_int64 as _words

# Places in the table of functions, in the order of their names in `_live.py`.
GET_ATTRIBUTE, RELEASE, CLEAR_ERROR = 0, 1, 2
LIST_SIZE, LIST_ITEM, DICT_NEXT, DICT_ITEM = 3, 4, 5, 6
DATA, DIM, SIZES, STRIDES, DTYPE, DEVICE = 7, 8, 9, 10, 11, 12

# Of so many dimensions, sizes and strides lie within a tensor's implementation and never move.
WITHIN = 5

# Called from compiled code only: what Python would call them by need not be compiled.
_inner = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)


@intrinsic
def _prefetch(_context: Any, _address: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = builder.module.globals.get("llvm.prefetch.p0i8") or ir.Function(
            builder.module, kind, "llvm.prefetch.p0i8"
        )
        read, every_cache, data = flag(0), flag(3), flag(1)
        builder.call(function, [builder.inttoptr(values[0], byte), read, every_cache, data])
        return values[0]

    return types.int64(types.int64), codegen


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
    failed = call2(functions[which], tensor, answer) & 0xFFFFFFFF
    return -1 if failed else _words(answer)[0]


@_inner
def _laid_out(functions, tensor, answer, layout, views):  # type: ignore[no-untyped-def]
    """Whether a tensor has a layout's sizes, and its strides where a size is not 1.

    `views` keeps where the tensor's sizes and strides lie, or zeros.
    """
    dim = layout[0]
    if _ask(functions, DIM, tensor, answer) != dim:
        return False
    sizes, strides = views[0], views[1]
    if sizes == 0:
        sizes = _ask(functions, SIZES, tensor, answer)
        strides = _ask(functions, STRIDES, tensor, answer)
        if dim <= WITHIN:
            views[0], views[1] = sizes, strides
    size, stride = _words(sizes), _words(strides)
    for i in range(dim):
        wanted = layout[1 + 2 * i]
        if size[i] != wanted or (wanted != 1 and stride[i] != layout[2 + 2 * i]):
            return False
    return True


@_inner
def _gradient(functions, names, parameter):  # type: ignore[no-untyped-def]
    """Return the address of a gradient's implementation; 0 for None, -1 for anything else.

    `names` holds the addresses of "grad", None and the class Tensor, the places in an object of the
    implementation and of the class, and the place in an implementation of the bits of its kind,
    with the bit of a negated view.
    """
    found = call2(functions[GET_ATTRIBUTE], parameter, names[0])
    if found == 0:
        call0(functions[CLEAR_ERROR])
        return -1
    address = -1
    if found == names[1]:
        address = 0
    elif _words(found + names[4])[0] == names[2]:
        address = _words(found + names[3])[0]
    call1(functions[RELEASE], found)  # the parameter goes on holding the implementation
    return address


@_inner
def _same_parameters(functions, lists, counts, groups, parameters):  # type: ignore[no-untyped-def]
    k = 0
    for i in range(groups):
        if call1(functions[LIST_SIZE], lists[i]) != counts[i]:
            return False
        for j in range(counts[i]):
            if call2(functions[LIST_ITEM], lists[i], j) != parameters[k]:
                return False
            k += 1
    return True


@_inner
def _same_entries(functions, states, entries, count, answer):  # type: ignore[no-untyped-def]
    """Whether the dictionary of states still has the same keys and values."""
    found = _words(answer)
    _store(answer, 0)
    for i in range(count):
        more = call4(functions[DICT_NEXT], states, answer, answer + 8, answer + 16) & 0xFFFFFFFF
        if more == 0 or found[1] != entries[2 * i] or found[2] != entries[2 * i + 1]:
            return False
    more = call4(functions[DICT_NEXT], states, answer, answer + 8, answer + 16) & 0xFFFFFFFF
    return more == 0


@_inner
def _lies_there(functions, answer, first, columns, addresses):  # type: ignore[no-untyped-def]
    """Whether a parameter and its states lie where they did; so their kind is what it was."""
    for column in range(columns):
        if column != 1 and (_ask(functions, DATA, first + 8 * column, answer) != addresses[column]):
            return False
    return True


@_inner
def _find(functions, answer, tensor, gradient, address, kind, layout, views):  # type: ignore[no-untyped-def]
    """Write where a gradient lies now; return whether it can be read as it is.

    `tensor` and `address` are places that hold the gradient's implementation and data, those of
    the last step until now.
    """
    known = _words(tensor)[0] == gradient
    if not known:
        _store(tensor, gradient)
        views[0] = 0
    data = _ask(functions, DATA, tensor, answer)
    known = known and _words(address)[0] == data
    _store(address, data)
    return (
        known
        or (
            _ask(functions, DTYPE, tensor, answer) == kind[0]
            and _ask(functions, DEVICE, tensor, answer) == kind[1]
        )
    ) and _laid_out(functions, tensor, answer, layout, views)


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
            stride of each); the data [rows, columns], where gradients are written; whether a
            gradient must be copied, written; the addresses of what will be looked at; where sizes
            and strides of parameters and gradients lie [rows, 4], written; and the number of those
            addresses.

    Returns:
        The count; -1 where anything else is not as it was.
    """
    a = _words(tables)
    groups, members, entered, rows, held, columns, width = a[0], a[1], a[2], a[3], a[4], a[5], a[6]
    answer, functions, names, kind = a[7], _words(a[8]), _words(a[9]), _words(a[10])
    parameters, places = _words(a[13]), _words(a[14])
    near = _words(a[24])
    for i in range(a[26]):
        _prefetch(near[i])
    if not _same_parameters(functions, _words(a[11]), _words(a[12]), groups, parameters):
        return -1
    if held and not _same_entries(functions, a[15], _words(a[16]), entered, answer):
        return -1
    dicts, keys, known = _words(a[17]), _words(a[18]), _words(a[19])
    for row in range(rows):
        for k in range(held):
            if call2(functions[DICT_ITEM], dicts[row], keys[k]) != known[row * held + k]:
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
        first, data = a[20] + at, a[22] + at
        layout, views = _words(a[21] + 8 * row * width), a[25] + 32 * row
        if not (
            _lies_there(functions, answer, first, columns, _words(data))
            and _laid_out(functions, first, answer, layout, _words(views))
        ):
            return -1
        fine = _find(
            functions, answer, first + 8, gradient, data + 8, kind, layout, _words(views + 16)
        )
        # A negated view has the layout of what it negates.
        fine = fine and _words(gradient + names[5])[0] & names[6] == 0
        _store(a[23] + 8 * row, 0 if fine else 1)
        copied += 0 if fine else 1
    return copied


load_lightly(read)
