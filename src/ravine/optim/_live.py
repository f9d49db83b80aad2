"""Where the tensors of a launch lie now, and whether they are still the same ones."""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ravine.kernels import address_of, torch_function
from ravine.optim._anatomy import WITHIN, anatomy, picture, words
from ravine.optim._memory import gradient

Words = NDArray[np.int64]

# In the order of the places in `_reader.py`.
_OF_PYTHON = ("PyList_Size", "PyList_GetItem", "PyDict_Next", "PyDict_GetItem")
_OF_TORCH = ("data_ptr", "dtype")
_LINE = 64  # bytes that come into a processor's cache together


class Live:
    """The tensors of one launch: the groups' parameters, gradients and states.

    Args:
        lists: The groups' lists of parameters.
        parameters: Those with gradients, in that order; of one dtype, on the CPU, of at most five
            dimensions.
        states: The optimizer's states.
        keys: Keys of the states' tensors, in the order of the kernel's columns.
        others: Further keys whose tensors must stay where they are.
    """

    def __init__(
        self,
        lists: Sequence[list[Tensor]],
        parameters: Sequence[Tensor],
        states: Mapping[Tensor, dict[str, Any]],
        keys: Sequence[str],
        others: Sequence[str],
    ) -> None:
        from ravine.optim._reader import GIVEN, read  # noqa: PLC0415  (imports Numba)

        self._read = read
        self.parameters = list(parameters)
        names = [sys.intern(name) for name in (*keys, *others)]
        rows = [states[p] for p in parameters] if names else []
        held = [[row[name] for name in names] for row in rows] or [[] for _ in parameters]
        tensors = [[p, p, *h[: len(keys)]] for p, h in zip(parameters, held, strict=True)]
        self.addresses = np.array([[t.data_ptr() for t in row] for row in tensors], np.int64)
        self._odd = np.zeros(len(parameters), np.int64)
        members = [p for params in lists for p in params]
        looked_at = [[p, *h] for p, h in zip(parameters, held, strict=True)]
        layouts = _layouts(parameters)
        # As `names` holds them: a dictionary may let go of its own keys.
        in_order = [sys.intern(name) for row in rows[:1] for name in row if name in names]
        tables = {
            "space": np.zeros(4, np.int64),
            "functions": _functions(),
            "names": _names(),
            "lists": _ids(lists),
            "lengths": np.array([len(params) for params in lists], np.int64),
            "parameters": _ids(members),
            "places": _places(members, parameters),
            "entries": _ids(x for entry in states.items() for x in entry),
            "dicts": _ids(rows),
            "keys": _ids(in_order),
            "known": _ids(row[name] for row in rows for name in in_order),
            "pictures": _pictures(looked_at),
            "layouts": layouts,
            "addresses": self.addresses,
            "odd": self._odd,
            "near": _near([*looked_at, [p.grad for p in parameters]], rows),
        }
        numbers = {
            **{"groups": len(lists), "members": len(members), "entered": len(states)},
            **{"rows": len(parameters), "held": len(names), "columns": 2 + len(keys)},
            **{"width": layouts.shape[1], "lines": len(tables["near"]), "states": id(states)},
            "dtype": _dtype(parameters[0]),
        }
        given = numbers | {name: table.ctypes.data for name, table in tables.items()}
        self._given = np.array([given[name] for name in GIVEN], np.int64)
        self._place = int(self._given.ctypes.data)
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


def readable(parameters: Sequence[Tensor]) -> bool:
    """Whether this interpreter and this torch have what is needed to look at parameters.

    A class that answers for its gradients itself must be asked.

    Args:
        parameters: All of the groups', with gradients or without.
    """
    return _has_interfaces() and all(
        p.dim() <= WITHIN and type(p).grad is Tensor.grad for p in parameters
    )


@cache
def _has_interfaces() -> bool:
    try:
        anatomy()
        _functions()
    except (AttributeError, OSError, ValueError):
        return False
    return True


@cache
def _functions() -> Words:
    found = [address_of(getattr(ctypes.pythonapi, name)) for name in _OF_PYTHON]
    found += [torch_function(f"aoti_torch_get_{name}") for name in _OF_TORCH]
    return np.array(found, np.int64)


@cache
def _names() -> Words:
    """Return the places in tensors."""
    found = anatomy()
    return np.array([*found, found.first, found.words], np.int64)


def _dtype(tensor: Tensor) -> int:
    """Return a dtype as torch's C interface numbers it."""
    cell, answer = ctypes.c_int64(tensor._cdata), ctypes.c_int32()
    signature = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
    ask = signature(torch_function("aoti_torch_get_dtype"))
    ask(ctypes.addressof(cell), ctypes.addressof(answer))
    return answer.value


def _places(members: Sequence[Tensor], parameters: Sequence[Tensor]) -> Words:
    row_of = {id(p): row for row, p in enumerate(parameters)}
    return np.array([row_of.get(id(p), -1) for p in members], np.int64)


def _ids(objects: Any) -> Words:
    return np.array([id(o) for o in objects], np.int64)


def _pictures(tensors: Sequence[Sequence[Tensor]]) -> Words:
    """Return, per tensor, its object, implementation, storage and memory, and how it lies there."""
    found = anatomy()
    return np.array(
        [
            [id(t), t._cdata, storage._cdata, storage.data_ptr(), *picture(found, t)]
            for row in tensors
            for t in row
            for storage in [t.untyped_storage()]
        ],
        np.int64,
    )


def _near(tensors: Sequence[Sequence[Tensor | None]], others: Sequence[Any]) -> Words:
    """Return where the objects behind tensors lie, cache line by cache line.

    They are called for at once, before they are looked at one after the other: a step over large
    tensors has swept them out of the processor's caches. An address that is stale costs nothing.
    """
    known = anatomy()
    found = [id(other) for other in others]
    for tensor in (t for row in tensors for t in row if t is not None):
        body = range(known.storage, known.keys + 8, _LINE // 2)
        found.append(id(tensor) + known.implementation)
        found += [tensor._cdata + place for place in body]
        found.append(tensor.untyped_storage()._cdata + known.data)
        kept = words(tensor._cdata + known.autograd, 1)[0]
        found += [kept + known.gradient] if kept else []
    return np.array(list(dict.fromkeys(address // _LINE * _LINE for address in found)), np.int64)


def _layouts(parameters: Sequence[Tensor]) -> Words:
    """Return, per row, the number of dimensions, and size and stride of each dimension."""
    layouts = np.zeros((len(parameters), 1 + 2 * max(p.dim() for p in parameters)), np.int64)
    for row, p in enumerate(parameters):
        layouts[row, 0] = p.dim()
        layouts[row, 1 : 1 + 2 * p.dim() : 2] = p.shape
        layouts[row, 2 : 2 + 2 * p.dim() : 2] = p.stride()
    return layouts
