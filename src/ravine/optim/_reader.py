"""Compiled code that looks at hundreds of tensors in microseconds, through C interfaces.

In Python each look at a tensor, ``p.grad`` or ``p.data_ptr()``, takes 60 nanoseconds, and a step
needs about ten of them per parameter: more than the update itself where tensors are small. Here
CPython's C functions and torch's C shim (``aoti_torch_*``, made for compiled models) are called
from compiled code. Everything in this file runs with the interpreter's lock held.
"""

from typing import Any

from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

# Places in the table of functions, in the order of `FUNCTIONS` in `_live.py`.
GET_ATTRIBUTE, RELEASE, TYPE_OF, CLEAR_ERROR = 0, 1, 2, 3
LIST_SIZE, LIST_ITEM, DICT_NEXT, DICT_ITEM = 4, 5, 6, 7
DATA, NUMEL, DIM, SIZES, STRIDES, DTYPE, DEVICE = 8, 9, 10, 11, 12, 13, 14


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


@njit
def _ask(functions, which, tensor, answer):  # type: ignore[no-untyped-def]
    """Return what one of the shim's functions says of a tensor; -1 where it fails."""
    answer[0] = 0  # some write four of the eight bytes
    failed = _call2(functions[which], tensor, answer.ctypes.data) & 0xFFFFFFFF
    return -1 if failed else answer[0]


@njit
def _laid_out(functions, tensor, answer, row, layouts):  # type: ignore[no-untyped-def]
    """Whether a tensor has a row's sizes, and its strides where a size is not 1."""
    dim = layouts[row, 0]
    if _ask(functions, DIM, tensor, answer) != dim:
        return False
    sizes = _words(_ask(functions, SIZES, tensor, answer))
    strides = _words(_ask(functions, STRIDES, tensor, answer))
    for i in range(dim):
        size = layouts[row, 1 + 2 * i]
        if sizes[i] != size or (size != 1 and strides[i] != layouts[row, 2 + 2 * i]):
            return False
    return True


@njit
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
        address = carray(_words(found + names[3]), 1)[0]
    # The parameter goes on holding the implementation.
    _call1(functions[RELEASE], kind)
    _call1(functions[RELEASE], found)
    return address


@njit
def _same_states(functions, states, entries, dicts, keys, known, answer):  # type: ignore[no-untyped-def]
    """Whether the dictionary of states, and those in it, still hold the same objects."""
    place = answer.ctypes.data
    answer[0] = 0
    for i in range(entries.shape[0]):
        more = _call4(functions[DICT_NEXT], states, place, place + 8, place + 16) & 0xFFFFFFFF
        if more == 0 or answer[1] != entries[i, 0] or answer[2] != entries[i, 1]:
            return False
    if _call4(functions[DICT_NEXT], states, place, place + 8, place + 16) & 0xFFFFFFFF:
        return False
    for i in range(dicts.size):
        for k in range(keys.size):
            if _call2(functions[DICT_ITEM], dicts[i], keys[k]) != known[i, k]:
                return False
    return True


@njit
def _same_parameters(functions, lists, counts, parameters):  # type: ignore[no-untyped-def]
    k = 0
    for i in range(lists.size):
        if _call1(functions[LIST_SIZE], lists[i]) != counts[i]:
            return False
        for j in range(counts[i]):
            if _call2(functions[LIST_ITEM], lists[i], j) != parameters[k]:
                return False
            k += 1
    return True


@njit
def _lies_there(functions, row, answer, first, layouts, addresses):  # type: ignore[no-untyped-def]
    """Whether a parameter and its states lie where they did, and the parameter as it did."""
    for column in range(addresses.shape[1]):
        # Where the memory is the same, so are its kind and device.
        if column != 1 and (
            _ask(functions, DATA, first + 8 * column, answer) != addresses[row, column]
        ):
            return False
    return _laid_out(functions, first, answer, row, layouts)


@njit
def _taken(functions, row, answer, gradient, layouts, kind):  # type: ignore[no-untyped-def]
    """Whether a gradient can be read as it is."""
    return (
        _ask(functions, DTYPE, gradient, answer) == kind[0]
        and _ask(functions, DEVICE, gradient, answer) == kind[1]
        and _laid_out(functions, gradient, answer, row, layouts)
    )


@njit(cache=True)
def read(  # type: ignore[no-untyped-def]
    functions, names, kind, answer, lists, counts, parameters, places,
    states, entries, dicts, keys, known, cells, layouts, single, addresses, odd,
):  # fmt: skip
    """Write where the gradients lie now; return how many of them must be copied first.

    Args:
        functions: Addresses of the C functions.
        names: As in `_gradient`.
        kind: dtype and device type in the shim's numbers.
        answer: Three words of work space.
        lists: Addresses of the groups' lists of parameters.
        counts: Lengths of those lists.
        parameters: Addresses of all parameters, group by group.
        places: Row of each parameter; -1 for those without a gradient.
        states: Address of the optimizer's dictionary of states.
        entries: Addresses [entries, 2] of its keys and values.
        dicts: Address of each row's state.
        keys: Addresses of the keys in a state.
        known: Addresses [rows, keys] of what they hold.
        cells: Addresses [rows, 2 + states] of implementations; the column of gradients is
            written here.
        layouts: Per row the number of dimensions, and size and stride of each.
        single: Whether a row has a single element. Its gradient is always copied: it may be a
            negated view, which its layout does not show. Longer ones autograd copies itself,
            because such views lie apart in memory.
        addresses: Of data [rows, 2 + states]; the column of gradients is written.
        odd: Whether a row's gradient lies otherwise than its parameter, written.

    Returns:
        The count; -1 where anything else is not as it was.
    """
    if not _same_parameters(functions, lists, counts, parameters):
        return -1
    if dicts.size and not _same_states(functions, states, entries, dicts, keys, known, answer):
        return -1
    copied = 0
    for i in range(parameters.size):
        row = places[i]
        gradient = _gradient(functions, names, parameters[i])
        if gradient < 0 or (gradient == 0) != (row < 0):
            return -1
        if row < 0:
            continue
        first = cells.ctypes.data + 8 * row * cells.shape[1]
        if not _lies_there(functions, row, answer, first, layouts, addresses):
            return -1
        cells[row, 1] = gradient
        addresses[row, 1] = _ask(functions, DATA, first + 8, answer)
        odd[row] = single[row] or not _taken(functions, row, answer, first + 8, layouts, kind)
        copied += odd[row]
    return copied
