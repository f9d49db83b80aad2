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
from ravine.kernels._pointers import call1, call2, call4, prefetch
from ravine.kernels._pointers import pointer_to_int64 as _words

# What `read` is given, in this order: numbers, and addresses of tables. See `read`.
GIVEN = (
    *("groups", "members", "entered", "rows", "held", "columns", "width", "lines", "dtype"),
    *("space", "functions", "names", "lists", "lengths", "parameters", "places"),
    *("states", "entries", "dicts", "keys", "known", "pictures", "layouts"),
    *("addresses", "odd", "near"),
)
GROUPS, MEMBERS, ENTERED, ROWS, HELD, COLUMNS, WIDTH, LINES, DTYPE = range(9)
SPACE, FUNCTIONS, NAMES, LISTS, LENGTHS, PARAMETERS, PLACES = range(9, 16)
STATES, ENTRIES, DICTS, KEYS, KNOWN, PICTURES, LAYOUTS = range(16, 23)
ADDRESSES, ODD, NEAR = range(23, 26)

# Places in the table of functions, in the order of their names in `_live.py`.
LIST_SIZE, LIST_ITEM, DICT_NEXT, DICT_ITEM = 0, 1, 2, 3
DATA_OF, DTYPE_OF = 4, 5

# Places in the table of names: an `Anatomy`, then its properties.
IMPLEMENTATION, STORAGE, SIZES, STRIDES, DISPATCH, MEMORY = 0, 1, 2, 3, 4, 5
AUTOGRAD, GRADIENT, PLAIN, ABSENT = 6, 7, 8, 9
FIRST, WORDS = 10, 11

PICTURE = 4  # words of a picture before those of the implementation

# Called from compiled code only: what Python would call them by need not be compiled.
_inner = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)


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
def _unchanged(names, picture):  # type: ignore[no-untyped-def]
    """Whether a tensor is what it was when its picture was taken, in the same memory."""
    implementation, storage = picture[1], picture[2]
    if (
        _words(picture[0] + names[IMPLEMENTATION])[0] != implementation
        or _words(implementation + names[STORAGE])[0] != storage
        or _words(storage + names[MEMORY])[0] != picture[3]
    ):
        return False
    now = _words(implementation + names[FIRST])
    differ = 0
    for i in range(names[WORDS]):
        differ |= now[i] ^ picture[PICTURE + i]
    return differ == 0


@_inner
def _gradient(names, parameter):  # type: ignore[no-untyped-def]
    """Return the address of the implementation of a parameter's gradient; 0 for none."""
    kept = _words(_words(parameter + names[IMPLEMENTATION])[0] + names[AUTOGRAD])[0]
    if kept == 0:
        return 0
    gradient = _words(kept + names[GRADIENT])[0]
    return 0 if gradient == names[ABSENT] else gradient


@_inner
def _as_it_is(names, gradient, layout):  # type: ignore[no-untyped-def]
    """Whether a gradient is dense, and lies as its parameter where a size is not 1."""
    dim = layout[0]
    sizes = _words(gradient + names[SIZES])
    if (
        _words(gradient + names[DISPATCH])[0] != names[PLAIN]
        or _words(gradient + names[FIRST])[0] != dim
    ):
        return False
    strides = _words(gradient + names[STRIDES])
    for i in range(dim):
        wanted = layout[1 + 2 * i]
        if sizes[i] != wanted or (wanted != 1 and strides[i] != layout[2 + 2 * i]):
            return False
    return True


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
def _same_row(functions, entry, keys, known, held, answer):  # type: ignore[no-untyped-def]
    """Whether one parameter's state holds the same tensors under the same keys."""
    found = _words(answer)
    _store(answer, 0)
    for k in range(held):
        # Going through a dictionary in its order takes a third of the time of looking keys up.
        more = call4(functions[DICT_NEXT], entry, answer, answer + 8, answer + 16) & 0xFFFFFFFF
        if (more == 0 or found[1] != keys[k] or found[2] != known[k]) and (
            call2(functions[DICT_ITEM], entry, keys[k]) != known[k]
        ):
            return False
    return True


@_inner
def _same_states(a, functions):  # type: ignore[no-untyped-def]
    """Whether the states of all rows hold the same tensors under the same keys."""
    held, dicts, keys, known = a[HELD], _words(a[DICTS]), _words(a[KEYS]), a[KNOWN]
    if held == 0:
        return True
    if not _same_entries(functions, a[STATES], _words(a[ENTRIES]), a[ENTERED], a[SPACE]):
        return False
    for row in range(a[ROWS]):
        here = _words(known + 8 * row * held)
        if not _same_row(functions, dicts[row], keys, here, held, a[SPACE]):
            return False
    return True


@_inner
def _same_tensors(a, names):  # type: ignore[no-untyped-def]
    """Whether all parameters and what their states hold are what they were."""
    size = 8 * (PICTURE + names[WORDS])
    for i in range(a[ROWS] * (1 + a[HELD])):
        if not _unchanged(names, _words(a[PICTURES] + i * size)):
            return False
    return True


@_inner
def _find(a, functions, names, gradient, row):  # type: ignore[no-untyped-def]
    """Write where a gradient lies; return whether it can be read as it is."""
    cell = a[SPACE] + 24  # to torch's C interface a tensor is a place that holds this address
    _store(cell, gradient)
    _store(a[ADDRESSES] + 8 * (row * a[COLUMNS] + 1), _ask(functions, DATA_OF, cell, a[SPACE]))
    layout = _words(a[LAYOUTS] + 8 * row * a[WIDTH])
    return (
        _as_it_is(names, gradient, layout) and _ask(functions, DTYPE_OF, cell, a[SPACE]) == a[DTYPE]
    )


@njit(cache=True)
def read(given):  # type: ignore[no-untyped-def]
    """Write where the gradients lie now; return how many of them must be copied first.

    Args:
        given: Address of what `GIVEN` names: the numbers of groups, parameters, entries of the
            dictionary of states, rows, keys, columns of addresses, words per layout and cache
            lines; the dtype; work space of four words; the C functions; names; the groups' lists
            and their lengths; all parameters and the row of each, -1 without a gradient; the
            dictionary of states with its keys and values; the rows' states, the keys in them and
            what they hold; pictures of parameters and what their states hold [rows, 1 + keys]; the
            layouts (dimensions, then size and stride of each); the data [rows, columns], where
            gradients are written; whether a gradient must be copied, written; and the cache lines
            that will be looked at.

    Returns:
        The count; -1 where anything else is not as it was.
    """
    a = _words(given)
    functions, names, near = _words(a[FUNCTIONS]), _words(a[NAMES]), _words(a[NEAR])
    for i in range(a[LINES]):
        prefetch(_words(near[i]), 0)
    parameters, places = _words(a[PARAMETERS]), _words(a[PLACES])
    lists, lengths = _words(a[LISTS]), _words(a[LENGTHS])
    if not (
        _same_parameters(functions, lists, lengths, a[GROUPS], parameters)
        and _same_states(a, functions)
        and _same_tensors(a, names)
    ):
        return -1
    copied = 0
    for i in range(a[MEMBERS]):
        row = places[i]
        gradient = _gradient(names, parameters[i])
        if (gradient == 0) != (row < 0):
            return -1
        if row >= 0:
            fine = _find(a, functions, names, gradient, row)
            _store(a[ODD] + 8 * row, 0 if fine else 1)
            copied += 0 if fine else 1
    return copied


load_lightly(read)
