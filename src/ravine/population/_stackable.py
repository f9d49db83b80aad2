"""Whether a model can be stacked: tried on two members, and compared with plain autograd."""

import torch

from ravine.core.errors import first_line
from ravine.population._model import (
    Pool,
    batch,
    functions_of,
    initial_model,
    stacked,
    tensors_of,
)
from ravine.problems import Problem

# Rows of the trial; batch statistics need more than one.
_ROWS = 4


def why_not_stackable(problem: Problem, dtype: torch.dtype) -> str | None:
    """Return None when a stack of the model computes what the model computes, or the reason.

    Args:
        problem: Gives model, data and loss.
        dtype: Of weights.
    """
    try:
        off = _disagreement(problem, dtype)
    except Exception as error:
        return first_line(error)
    if off > 1e3 * torch.finfo(dtype).eps:
        return f"its stacked gradient is off by {off:.1e}"
    return None


def _disagreement(problem: Problem, dtype: torch.dtype) -> float:
    """Return the relative difference between stacked and plain gradients of two members."""
    functions = functions_of(problem, dtype)
    models = [initial_model(problem, seed, dtype) for seed in (0, 1)]
    splits = [problem.split(seed) for seed in (0, 1)]
    weights, buffers = (
        tuple(map(torch.stack, zip(*(tensors_of(m, names) for m in models), strict=True)))
        for names in (functions.names, functions.buffer_names)
    )
    norms = [(s.shift.to(dtype), s.scale.to(dtype)) for s in splits]
    norm = tuple(map(torch.stack, zip(*norms, strict=True)))
    rows = torch.stack([torch.as_tensor(s.train[:_ROWS]) for s in splits])
    pool = Pool(problem.data.x, problem.data.y)
    with torch.no_grad():
        gradients, _, _ = stacked(functions.gradient)(weights, buffers, rows, norm, pool.x, pool.y)
        stacked(functions.evaluate)(weights, buffers, rows, norm, pool.x, pool.y)
    worst = 0.0
    for i, model in enumerate(models):
        x, y = batch(rows[i], norms[i], pool)
        trained = [p for p in model.parameters() if p.requires_grad]
        loss = problem.loss(model(x), y)
        plain = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
        off = sum(float((a[i] - b).norm() ** 2) for a, b in zip(gradients, plain, strict=True))
        size = sum(float(b.norm() ** 2) for b in plain)
        worst = max(worst, (off / size) ** 0.5 if size else off**0.5)
    return worst
