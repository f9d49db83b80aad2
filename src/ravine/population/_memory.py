"""How much memory a slot takes, so that a block can be sized from a stated budget."""

from typing import NamedTuple

import torch
from torch import Tensor

from ravine.population._model import Pool, batch, initial_model
from ravine.problems import Problem

# Of one worker: about what a core has to itself of a server's last-level cache, and some more.
CACHE_BYTES = 12 * 2**20


class SlotBytes(NamedTuple):
    """Memory of one slot in training, and of one evaluated row of one slot."""

    training: float
    evaluation_row: float


def bytes_per_slot(problem: Problem, rows: int, states: int, dtype: torch.dtype) -> SlotBytes:
    """Return an estimate of a slot's memory, from one forward pass.

    Counted are weights, gradients and states, the batch, and what the forward pass keeps for
    the backward pass, twice: the gradients of activations are as large.

    Args:
        problem: Gives model and data.
        rows: Rows per step.
        states: States per weight.
        dtype: Of weights.
    """
    model = initial_model(problem, 0, dtype)
    split = problem.split(0)
    sample = torch.as_tensor(split.train[:2])
    norm = split.shift.to(dtype), split.scale.to(dtype)
    x, y = batch(sample, norm, Pool(problem.data.x, problem.data.y))
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        problem.loss(model(x), y)
    weights = [p.data_ptr() for p in model.parameters()]
    per_row = sum(size for at, size in kept.items() if at not in weights) / len(x)
    per_row += x[0].numel() * x.element_size()
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    return SlotBytes(parameters * (2 + states) + 2 * per_row * rows, per_row)


def rows_within(memory: float, per_row: float) -> int:
    """Return how many rows to evaluate at once: within a quarter of the memory, and in the cache.

    In the cache a row takes half of the time.
    """
    return max(1, int(min(memory / 4, CACHE_BYTES) / per_row))
