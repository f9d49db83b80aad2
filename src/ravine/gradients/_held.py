"""What modules keep between evaluations: buffers, and plain attributes that are tensors or numbers.

An evaluation may write to a tensor, or put another one in its place; both can be undone.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_ABSENT = object()


@dataclass(frozen=True)
class Kept:
    """One entry of a module and what stood there.

    Args:
        name: Path of the module and the entry.
        entries: The dict it stands in.
        key: Its key there.
        thing: What stood there, or that nothing did.
        values: Copy of a tensor's values.
        buffer: Whether it is a registered buffer.
    """

    name: str
    entries: MutableMapping[str, Any]
    key: str
    thing: Any
    values: Tensor | None
    buffer: bool

    @property
    def place(self) -> tuple[str, bool]:
        """What tells it from other entries: a buffer may have an attribute's name."""
        return self.name, self.buffer

    @property
    def _now(self) -> Any:
        present = self.key in self.entries  # torch.jit's modules have dicts without `get`
        return self.entries[self.key] if present else _ABSENT

    @property
    def replaced(self) -> bool:
        """Whether something else stands there now."""
        now = self._now
        if isinstance(now, int | float | complex) and isinstance(self.thing, type(now)):
            return bool(now != self.thing)
        return now is not self.thing

    @property
    def differs(self) -> bool:
        """Whether what stands there now has other values."""
        now = self._now
        if self.values is None or not isinstance(now, Tensor):
            return self.replaced
        return now.shape != self.values.shape or not same(now, self.values)

    def put_back(self) -> None:
        """Put the same thing back in its place."""
        if self._now is self.thing:
            return
        if self.thing is _ABSENT:
            del self.entries[self.key]
        else:
            self.entries[self.key] = self.thing


def replaced(entries: Sequence[Kept]) -> list[Kept]:
    """Return the entries in whose place something else stands now."""
    return [one for one in entries if one.replaced]


def overwritten(entries: Sequence[Kept]) -> list[tuple[Tensor, Tensor]]:
    """Return the tensors that hold other values now, with those that they held."""
    return [
        (one.thing, one.values)
        for one in entries
        if one.values is not None and not same(one.thing, one.values)
    ]


def written(tensor: Tensor, values: Tensor) -> None:
    """Write values to a tensor, and cut off the graph that an evaluation may have hung on it."""
    with torch.no_grad():
        if tensor.grad_fn is not None:
            tensor.detach_()
        tensor.copy_(values)


def same(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are equal, NaN like NaN."""
    return torch.equal(a.detach().nan_to_num(), b.nan_to_num())


def kept_by(roots: Mapping[str, nn.Module]) -> list[Kept]:
    """Return every entry of the modules inside some named ones, as it is."""
    return [
        Kept(name, entries, key, thing, _values(thing), buffer)
        for root, module in roots.items()
        for path, one in module.named_modules()
        for entries, buffer in ((one._buffers, True), (vars(one), False))
        for key, thing in list(entries.items())
        for name in [".".join(part for part in (root, path, key) if part)]
    ]


def added_to(roots: Mapping[str, nn.Module], known: Sequence[Kept]) -> list[Kept]:
    """Return the entries of modules that were not there before, as absent."""
    before = {one.place for one in known}
    return [
        Kept(one.name, one.entries, one.key, _ABSENT, None, one.buffer)
        for one in kept_by(roots)
        if one.place not in before
    ]


def _values(thing: Any) -> Tensor | None:
    return thing.detach().clone() if isinstance(thing, Tensor) else None


def modules_behind(loss: Callable[..., Any]) -> dict[str, nn.Module]:
    """Return the modules that a loss function reaches: those it closes over, and globals it names.

    >>> norm = nn.BatchNorm1d(3)
    >>> list(modules_behind(lambda outputs, targets: norm(outputs).mean()))
    ['norm']
    """
    if isinstance(loss, functools.partial):
        given = {str(i): one for i, one in enumerate(loss.args)} | loss.keywords
        return _modules(given) | modules_behind(loss.func)
    if isinstance(loss, nn.Module) or not callable(loss):
        return {}  # a module is copied
    if inspect.ismethod(loss):
        holder = loss.__self__
        held = {"loss": holder} if isinstance(holder, nn.Module) else _attributes(holder)
        return _modules(held) | modules_behind(loss.__func__)
    if not inspect.isfunction(loss):
        return _modules(_attributes(loss))
    cells = zip(loss.__code__.co_freevars, loss.__closure__ or (), strict=True)
    closed = {name: one.cell_contents for name, one in cells if _is_full(one)}
    named = {name: loss.__globals__.get(name) for name in loss.__code__.co_names}
    return _modules(named | closed)


def _attributes(thing: Any) -> Mapping[str, Any]:
    return getattr(thing, "__dict__", {})


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - it raises where the variable is not set yet
    except ValueError:
        return False
    return True


def _modules(found: Mapping[str, Any]) -> dict[str, nn.Module]:
    return {name: one for name, one in found.items() if isinstance(one, nn.Module)}


@contextmanager
def unmoved(roots: Mapping[str, nn.Module]) -> Iterator[None]:
    """Put everything that modules keep back after a block."""
    before = kept_by(roots)
    try:
        yield
    finally:
        put_back(roots, before)


def put_back(roots: Mapping[str, nn.Module], before: Sequence[Kept]) -> None:
    """Put everything that modules keep back to what it was."""
    for one in replaced([*before, *added_to(roots, before)]):
        one.put_back()
    for tensor, values in overwritten(before):
        written(tensor, values)
