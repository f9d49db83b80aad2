"""Where the tensors of a launch lie now, and whether they are still the same ones."""

import ctypes
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import address_of, torch_function
from ravine.optim._memory import gradient

Words = NDArray[np.int64]

# In the order of the places in `_reader.py`.
_OF_PYTHON = (
    *("PyObject_GetAttr", "Py_DecRef", "PyErr_Clear"),
    *("PyList_Size", "PyList_GetItem", "PyDict_Next", "PyDict_GetItem"),
)
_OF_TORCH = ("data_ptr", "dim", "sizes", "strides", "dtype", "device_type")
_GRAD = sys.intern("grad")
LINE = 64  # bytes that come into a processor's cache together


class Live:
    """The tensors of one launch: the groups' parameters, gradients and states.

    Args:
        lists: The groups' lists of parameters.
        parameters: Those with gradients, in that order; of one dtype, on the CPU.
        states: The optimizer's states.
        keys: Keys of the states' tensors, in the order of the kernel's columns.
        others: Further keys whose values must stay the same objects.
    """

    def __init__(
        self,
        lists: Sequence[list[Tensor]],
        parameters: Sequence[Tensor],
        states: Mapping[Tensor, dict[str, Any]],
        keys: Sequence[str],
        others: Sequence[str],
    ) -> None:
        from ravine.optim._reader import read  # noqa: PLC0415  (imports Numba)

        self._read = read
        self.parameters = list(parameters)
        names = [sys.intern(name) for name in (*keys, *others)]
        rows = [states[p] for p in parameters] if names else []
        held = [[row[name] for name in names] for row in rows]
        columns = [[objects[k] for objects in held] for k in range(len(keys))]
        tensors = list(zip(parameters, parameters, *columns, strict=True))
        self.addresses = _table(tensors, Tensor.data_ptr)
        self._odd = np.zeros(len(parameters), np.int64)
        members = [p for params in lists for p in params]
        layouts = _layouts(parameters)
        every = [*(one for row in tensors for one in row), *(p.grad for p in parameters)]
        near = _lines(every, rows)
        tables = [
            *(np.zeros(3, np.int64), _functions(), _names(parameters[0]), _kind(parameters[0])),
            *(_ids(lists), np.array([len(params) for params in lists], np.int64)),
            *(_ids(members), _places(members, parameters)),
            *(_table(states.items(), id), _ids(rows), _ids(names), _table(held, id)),
            *(_table(tensors, _implementation), layouts),
            *(self.addresses, self._odd, near, np.zeros((len(parameters), 4), np.int64)),
        ]
        places = [table.ctypes.data for table in tables]
        counts = [len(lists), len(members), len(states), len(rows), len(names) if rows else 0]
        counts += [2 + len(keys), layouts.shape[1]]
        self._tables = np.array(
            [*counts, *places[:8], id(states), *places[8:], len(near)], np.int64
        )
        self._place = self._tables.ctypes.data
        # Only what is kept alive may be known by its address.
        self._alive = (tables, lists, members, states, list(states.items()), names, rows, held)

    def read(self) -> list[Tensor] | None:
        """Bring `addresses` up to date.

        Returns:
            Copies of gradients that lie otherwise than their parameters, to be kept until they
            are used; None where a parameter, a state, a layout or the presence of a gradient has
            changed.
        """
        copied = self._read(self._place)
        if copied < 0:
            return None
        return self._copy() if copied else []

    def _copy(self) -> list[Tensor]:
        rows = np.flatnonzero(self._odd)
        copies = [gradient(self.parameters[row]) for row in rows]
        self.addresses[rows, 1] = [copy.data_ptr() for copy in copies]
        return copies


@cache
def readable() -> bool:
    """Whether this interpreter and this torch have the interfaces that are needed."""
    try:
        _functions()
        tensor = torch.zeros(2)
        _negated()
        return _places_in(tensor) == _places_in(torch.nn.Parameter(tensor))
    except (AttributeError, OSError, ValueError):
        return False


@cache
def _functions() -> Words:
    if sys.implementation.name != "cpython":
        raise OSError("objects have no address")
    found = [address_of(getattr(ctypes.pythonapi, name)) for name in _OF_PYTHON]
    found += [torch_function(f"aoti_torch_get_{name}") for name in _OF_TORCH]
    return np.array(found, np.int64)


def _offset(tensor: Tensor, address: int) -> int:
    """Return where in a tensor's object an address stands."""
    words = (ctypes.c_int64 * 4).from_address(id(tensor))
    return 8 * list(words).index(address)


def _places_in(tensor: Tensor) -> tuple[int, int]:
    """Return where in a tensor's object its implementation and its class stand."""
    return _offset(tensor, tensor._cdata), _offset(tensor, id(type(tensor)))


@cache
def _negated() -> tuple[int, int]:
    """Return where in an implementation the bits of its kind stand, and the bit of a negated view.

    Raises:
        ValueError: When they are not where tensors of three kinds have them.
    """
    tensor = torch.zeros(2)
    kinds = [tensor, torch._neg_view(tensor), tensor.to_sparse()]
    bits = [torch._C._dispatch_keys(kind).raw_repr() for kind in kinds]
    words = [list((ctypes.c_uint64 * 24).from_address(kind._cdata)) for kind in kinds]
    place = list(zip(*words, strict=True)).index(tuple(bits))
    return 8 * place, bits[0] ^ bits[1]


def _names(parameter: Tensor) -> Words:
    known = (id(_GRAD), id(None), id(Tensor))
    return np.array([*known, *_places_in(parameter), *_negated()], np.int64)


def _kind(parameter: Tensor) -> Words:
    """Return dtype and device type as the shim numbers them."""
    cell = np.array([_implementation(parameter)], np.int64)
    answer = np.zeros(2, np.int64)
    signature = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
    for i, function in enumerate(_functions()[-2:]):
        signature(int(function))(cell.ctypes.data, answer[i:].ctypes.data)
    return answer


def _implementation(tensor: Tensor) -> int:
    # To the shim a tensor is a place in memory that holds this address.
    return int(tensor._cdata)


def _places(members: Sequence[Tensor], parameters: Sequence[Tensor]) -> Words:
    row_of = {id(p): row for row, p in enumerate(parameters)}
    return np.array([row_of.get(id(p), -1) for p in members], np.int64)


def _ids(objects: Sequence[Any]) -> Words:
    return np.array([id(o) for o in objects], np.int64)


def _lines(tensors: Sequence[Tensor | None], others: Sequence[Any]) -> Words:
    """Return where the objects behind tensors lie, cache line by cache line.

    They are called for at once, before they are looked at one after the other: a step over large
    tensors has swept them out of the processor's caches. An address that is stale costs nothing.
    """
    found = [id(other) for other in others]
    for tensor in tensors:
        if tensor is not None:
            found += [id(tensor), id(tensor) + LINE]
            found += [_implementation(tensor) + LINE * k for k in range(4)]
            found += [tensor.untyped_storage()._cdata + LINE * k for k in range(2)]
    return np.array(found, np.int64)


def _table(rows: Iterable[Iterable[Any]], number: Callable[[Any], int]) -> Words:
    found = [[number(o) for o in row] for row in rows]
    return np.array(found, np.int64).reshape(len(found), len(found[0]) if found else 0)


def _layouts(parameters: Sequence[Tensor]) -> Words:
    """Return, per row, the number of dimensions, and size and stride of each dimension."""
    layouts = np.zeros((len(parameters), 1 + 2 * max(p.dim() for p in parameters)), np.int64)
    for row, p in enumerate(parameters):
        layouts[row, 0] = p.dim()
        layouts[row, 1 : 1 + 2 * p.dim() : 2] = p.shape
        layouts[row, 2 : 2 + 2 * p.dim() : 2] = p.stride()
    return layouts
