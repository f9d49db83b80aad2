"""A scalar function at many points that differ from a base in one entry of one tensor."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ravine.core.errors import first_line
from ravine.gradients._listening import Listener, Silent

# Bytes that the tensors of one batch of points may take together, at least one point.
MEMORY = 24 * 2**20
MOST_POINTS = 128  # more at once is slower: they leave the processor's cache


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
    batch, reason = _tried(objective, which, entries[:2], moves[:2])
    if reason is not None:
        objective.listener.noticed(f"entries are evaluated one by one: {reason}")
        return _one_by_one(objective, which, entries, moves, objective.names[which])
    parts = []
    for start in range(0, len(entries), batch):
        chunk = slice(start, start + batch)
        parts.append(_batched(objective, which, entries[chunk], moves[chunk]))
        done = min(start + batch, len(entries))
        objective.listener.progressed(objective.names[which], done, len(entries))
    return torch.cat(parts)


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
    """Evaluate two points both ways; return how many may be batched, or why none may.

    What two points take together beyond what one takes, each further one takes again: the rest is
    shared by all.
    """
    try:
        with _Taken() as by_two:
            together = _batched(objective, which, entries, moves)
    except Exception as error:  # whatever a user's function raises under vmap
        return 1, f"torch.vmap raises {first_line(error).split('. ')[0]}"
    with _Taken() as by_each:
        singly = _one_by_one(objective, which, entries, moves, "")
    # A value that differs by rounding is as good; masks or statistics that differ are not.
    near = 1e3 * torch.finfo(singly.dtype).eps
    if not torch.allclose(together, singly, rtol=near, atol=0.0, equal_nan=True):
        return 1, "a batch of points has other values than single ones"
    base = objective.tensors[which]
    alone = by_each.size // 2
    further = max(by_two.size - alone, base.numel() * base.element_size())
    fitting = 1 + (MEMORY - alone) // further
    return max(1, min(MOST_POINTS, fitting)), None


class _Taken(TorchDispatchMode):
    """Sums the sizes of what tensor operations take and make: more than is ever alive at once.

    What they take counts too, since `torch.vmap` may copy a shared operand for every point.
    """

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for one in (*args, *(result if isinstance(result, tuple | list) else (result,))):
            if isinstance(one, Tensor):
                self.size += one.numel() * one.element_size()
        if func is torch.ops.aten.convolution.default:
            self.size += _columns(result, args[1])
        return result


def _columns(made: Tensor, kernel: Tensor) -> int:
    """Return the bytes of the matrix of patches by which a convolution is a matrix product."""
    return made.numel() // made.shape[1] * kernel[0].numel() * made.element_size()
