"""A scalar function at many points that differ from a base in one entry of one tensor."""

import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ravine.core.errors import first_line
from ravine.gradients._listening import Listener, Silent

# Bytes that the tensors of one batch of points may take together, at least one point. What the
# system's allocator keeps between batches comes on top: three times as much has been seen.
MEMORY = 12 * 2**20
MOST_POINTS = 256  # more at once is no faster


@dataclass(frozen=True)
class Objective:
    """A scalar function of tensors, in the two forms that finite differences need.

    Args:
        names: Of the tensors, for messages.
        tensors: The base point; contiguous, without gradient, edited in place and put back.
        value: The function at what `tensors` hold now, as a tensor with one element.
        pure: The same function of a list of tensors, for `torch.vmap`.
        listener: Hears of progress, and when a tensor's points cannot be batched.
    """

    names: Sequence[str]
    tensors: Sequence[Tensor]
    value: Callable[[], Tensor]
    pure: Callable[[Sequence[Tensor]], Tensor]
    listener: Listener = field(default_factory=Silent)


def values_at(objective: Objective, which: int, entries: Tensor, moves: Tensor) -> Tensor:
    """Return the function where one entry of one tensor is moved, for many moves.

    Points are evaluated in batches with `torch.vmap`, the other tensors shared by all, so that
    what comes before the moved tensor is computed once. Where that is impossible (an old-style
    `autograd.Function`, control flow that depends on data) or gives other values than the plain
    function, points are evaluated one by one.

    Args:
        objective: The function and its base point.
        which: Number of the tensor that is moved.
        entries: Flat index of the moved entry for each point, int64 [N].
        moves: What is added to it, of the tensor's dtype [N].

    Returns:
        Values [N], of the function's own dtype.
    """
    if len(entries) < 4:
        return _one_by_one(objective, which, entries, moves, "")
    batch, reason = _tried(objective, which, entries[:3], moves[:3])
    if reason is not None:
        objective.listener.noticed(f"entries are evaluated one by one: {reason}")
        return _one_by_one(objective, which, entries, moves, objective.names[which])
    values = None
    for start in range(0, len(entries), batch):
        chunk = slice(start, start + batch)
        found = _batched(objective, which, entries[chunk], moves[chunk])
        if values is None:
            values = found.new_empty(len(entries))
        # In a place made before: a small tensor that stayed behind each batch would keep the system
        # from getting the batch's memory back.
        values[chunk] = found
        done = min(start + batch, len(entries))
        objective.listener.progressed(objective.names[which], done, len(entries))
    assert values is not None
    return values


def _one_by_one(
    objective: Objective, which: int, entries: Tensor, moves: Tensor, what: str
) -> Tensor:
    """Evaluate points singly; the base tensor is edited in place and put back exactly."""
    flat = objective.tensors[which].view(-1)
    values = []
    for done, (entry, move) in enumerate(zip(entries.tolist(), moves, strict=True), start=1):
        kept = flat[entry].clone()
        try:
            flat[entry] += move
            values.append(objective.value().detach().reshape(()).clone())
        finally:
            flat[entry] = kept
        if what and done % 256 == 0:
            objective.listener.progressed(what, done, len(entries))
    return torch.stack(values)


def _batched(objective: Objective, which: int, entries: Tensor, moves: Tensor) -> Tensor:
    base = objective.tensors[which]
    points = base.expand(len(entries), *base.shape).reshape(len(entries), -1)
    points = points.clone() if points.data_ptr() == base.data_ptr() else points
    points[torch.arange(len(entries), device=base.device), entries] += moves
    others = list(objective.tensors)

    def at(moved: Tensor) -> Tensor:
        others[which] = moved
        return objective.pure(others).reshape(())

    stacked = points.view(len(entries), *base.shape)
    with torch.no_grad(), warnings.catch_warnings():
        # An operation that vmap runs point by point is slower, and as right.
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        return torch.vmap(at, randomness="same")(stacked).detach()


def _tried(
    objective: Objective, which: int, entries: Tensor, moves: Tensor
) -> tuple[int, str | None]:
    """Evaluate a few points both ways; return how many may be batched, or why none may."""
    moments = []
    try:
        for count in (2, 3):
            with _Watched() as watched:
                together = _batched(objective, which, entries[:count], moves[:count])
            moments.append(watched.moments)
    except Exception as error:  # whatever a user's function raises under vmap
        return 1, f"torch.vmap raises {first_line(error).split('. ')[0]}"
    singly = _one_by_one(objective, which, entries, moves, "")
    # A value that differs by rounding is as good; masks or statistics that differ are not.
    near = 1e3 * torch.finfo(singly.dtype).eps
    if not torch.allclose(together, singly, rtol=near, atol=0.0, equal_nan=True):
        return 1, "a batch of points has other values than single ones"
    return max(1, min(MOST_POINTS, _fitting(*moments))), None


def _fitting(two: Sequence[int], three: Sequence[int]) -> int:
    """Return how many points fit, from the bytes alive at each moment with two and with three.

    At each moment some are shared by all points, and every point adds the same again.
    """
    if len(two) != len(three):  # operations that vmap runs point by point
        return 3 * MEMORY // max(1, *three)
    return min(
        (
            2 + (MEMORY - before) // max(1, after - before)
            for before, after in zip(two, three, strict=True)
        ),
        default=MOST_POINTS,
    )


class _Watched(TorchDispatchMode):
    """Notes after each tensor operation how many bytes of what has been made are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[int] = []
        self._alive = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self._known |= {one._cdata for one in _storages(args)}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result if isinstance(result, tuple | list) else (result,)):
            if storage._cdata not in self._known:
                self._known.add(storage._cdata)
                self._alive += storage.nbytes()
                weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        work = _columns(result, args[1]) if func is torch.ops.aten.convolution.default else 0
        self.moments.append(self._alive + work)
        return result

    def _freed(self, place: int, size: int) -> None:
        self._alive -= size
        self._known.discard(place)


def _storages(things: Sequence[Any]) -> list[torch.UntypedStorage]:
    return [one.untyped_storage() for one in things if isinstance(one, Tensor)]


def _columns(made: Tensor, kernel: Tensor) -> int:
    """Return the bytes of the matrix of patches by which a convolution is a matrix product."""
    return made.numel() // made.shape[1] * kernel[0].numel() * made.element_size()
