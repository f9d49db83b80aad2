"""Where the tensors of a launch lie now, and whether they are still the same ones."""

import ctypes
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Addresses = NDArray[np.int64]

# In the order of the places in `_reader.py`.
_OF_PYTHON = (
    *("PyObject_GetAttr", "Py_DecRef", "PyObject_Type", "PyErr_Clear"),
    *("PyList_Size", "PyList_GetItem", "PyDict_Next", "PyDict_GetItem"),
)
_OF_TORCH = ("data_ptr", "numel", "dim", "sizes", "strides", "dtype", "device_type")
_LIBRARIES = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}


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
        objects = [[row[name] for name in names] for row in rows]
        columns = [[held[k] for held in objects] for k in range(len(keys))]
        # Only what is kept alive may be known by its address.
        members = [p for params in lists for p in params]
        self._alive = (lists, members, states, list(states.items()), names, rows, objects)
        tensors = list(zip(parameters, parameters, *columns, strict=True))
        self.addresses = _table(tensors, 2 + len(keys), Tensor.data_ptr)
        self._odd = np.zeros(len(parameters), np.bool_)
        self._arguments = (
            *(_functions(), _names(parameters[0]), _kind(parameters[0]), np.zeros(3, np.int64)),
            *_groups(lists, parameters),
            *(id(states), _entries(states) if rows else np.zeros((0, 2), np.int64)),
            *(_ids(rows), _ids(names), _table(objects, len(names), id)),
            _table(tensors, 2 + len(keys), _cell),
            *(_layouts(parameters), np.array([p.numel() == 1 for p in parameters])),
            *(self.addresses, self._odd),
        )

    def read(self) -> NDArray[np.bool_] | None:
        """Bring `addresses` up to date.

        Returns:
            Which gradients lie otherwise than their parameters, and must be copied; None where a
            parameter, a state, a layout or the presence of a gradient has changed.
        """
        return None if self._read(*self._arguments) < 0 else self._odd


@cache
def readable() -> bool:
    """Whether this interpreter and this torch have the interfaces that are needed."""
    try:
        _functions()
        tensor = torch.zeros(2)
        return _offset(tensor) == _offset(torch.nn.Parameter(tensor))
    except (AttributeError, OSError, ValueError):
        return False


@cache
def _functions() -> Addresses:
    if sys.implementation.name != "cpython":
        raise OSError("objects have no address")
    name = _LIBRARIES.get(sys.platform, "libtorch_cpu.so")
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
    found = [getattr(ctypes.pythonapi, name) for name in _OF_PYTHON]
    found += [getattr(library, f"aoti_torch_get_{name}") for name in _OF_TORCH]
    return np.array([ctypes.cast(f, ctypes.c_void_p).value for f in found], np.int64)


def _offset(tensor: Tensor) -> int:
    """Return where, in a tensor's object, the address of its implementation stands."""
    words = (ctypes.c_int64 * 4).from_address(id(tensor))
    return 8 * list(words).index(tensor._cdata)


def _names(parameter: Tensor) -> Addresses:
    return np.array([id(_GRAD), id(None), id(Tensor), _offset(parameter)], np.int64)


_GRAD = sys.intern("grad")


def _kind(parameter: Tensor) -> Addresses:
    """Return dtype and device type as the shim numbers them."""
    cell = np.array([_cell(parameter)], np.int64)
    answer = np.zeros(2, np.int64)
    for i, which in enumerate((13, 14)):
        function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
        function(int(_functions()[which]))(cell.ctypes.data, answer[i:].ctypes.data)
    return answer


def _cell(tensor: Tensor) -> int:
    # The shim wants the address of a tensor, which is a place that holds this address.
    return tensor._cdata


def _groups(
    lists: Sequence[list[Tensor]], parameters: Sequence[Tensor]
) -> tuple[Addresses, Addresses, Addresses, Addresses]:
    every = [p for members in lists for p in members]
    row_of = {id(p): row for row, p in enumerate(parameters)}
    places = np.array([row_of.get(id(p), -1) for p in every], np.int64)
    counts = np.array([len(members) for members in lists], np.int64)
    return _ids(lists), counts, _ids(every), places


def _entries(states: Mapping[Tensor, Any]) -> Addresses:
    return _table(states.items(), 2, id)


def _ids(objects: Sequence[Any]) -> Addresses:
    return np.array([id(o) for o in objects], np.int64)


def _table(rows: Iterable[Iterable[Any]], columns: int, number: Callable[[Any], int]) -> Addresses:
    found = [[number(o) for o in row] for row in rows]
    return np.array(found, np.int64).reshape(len(found), columns)


def _layouts(parameters: Sequence[Tensor]) -> Addresses:
    """Return, per row, the number of dimensions, and size and stride of each dimension."""
    layouts = np.zeros((len(parameters), 1 + 2 * max(p.dim() for p in parameters)), np.int64)
    for row, p in enumerate(parameters):
        layouts[row, 0] = p.dim()
        layouts[row, 1 : 1 + 2 * p.dim() : 2] = p.shape
        layouts[row, 2 : 2 + 2 * p.dim() : 2] = p.stride()
    return layouts
