"""The classic learning-rate range test: one training whose rate grows from step to step.

Source: Smith 2017, "Cyclical learning rates for training neural networks", arXiv:1506.01186,
section 3.3; grown exponentially and smoothed as in fastai.
"""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ravine.optim import RuleOptimizer, from_rule
from ravine.problems import Problem
from ravine.studies.contestants import Contestant

LOWEST, HIGHEST, MOST_STEPS = 1e-5, 10.0, 200
_MEMORY = 0.95  # of the running mean of losses: 20 steps, 0.6 decades
_HOPELESS = 4.0  # times the lowest loss: further on the loss only grows
COLUMNS = ["optimizer", "seed", "step", "lr", "loss", "smooth"]


def ramp(
    problem: Problem,
    competing: Sequence[Contestant],
    seeds: Sequence[int],
    batch: int | str | None,
    steps: int,
    progressed: Callable[[str, int, int], None] = lambda *_: None,
) -> pd.DataFrame:
    """Run a ramp from 1e-5 to 10 for every optimizer and seed.

    Args:
        problem: What to train on.
        competing: The optimizers.
        seeds: One ramp each.
        batch: Rows per step; None for the problem's.
        steps: Steps from the lowest to the highest rate.
        progressed: Called with ``"ramps"``, how many are done, and of how many.

    Returns:
        One row per step: ``optimizer, seed, step, lr, loss, smooth``; a ramp ends early where
        the smoothed loss is 4 times its lowest or the loss not finite.
    """
    rates = np.geomspace(LOWEST, HIGHEST, steps)
    runs = [(one, seed) for one in competing for seed in seeds]
    rows = []
    for done, (one, seed) in enumerate(runs, start=1):
        rows += [(one.name, seed, *step) for step in _run(problem, one, seed, batch, rates)]
        progressed("ramps", done, len(runs))
    return pd.DataFrame(rows, columns=COLUMNS)


def _run(
    problem: Problem, one: Contestant, seed: int, batch: int | str | None, rates: np.ndarray
) -> Iterator[tuple[int, float, float, float]]:
    model = problem.build(seed)
    optimizer = from_rule(one.rule)(model.parameters(), **one.hypers)
    mean, lowest = 0.0, float("inf")
    batches = _batches(problem, seed, batch)
    for step, (rate, (x, y)) in enumerate(zip(rates.tolist(), batches, strict=False), start=1):
        optimizer.param_groups[0]["lr"] = rate
        loss = _step(problem, model, optimizer, x, y, ascends=one.rule.ascent is not None)
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        smooth = mean / (1 - _MEMORY**step)
        if not isfinite(loss) or smooth > _HOPELESS * lowest:
            return
        lowest = min(lowest, smooth)
        yield step, rate, loss, smooth


def _step(
    problem: Problem,
    model: torch.nn.Module,
    optimizer: RuleOptimizer,
    x: Tensor,
    y: Tensor,
    *,
    ascends: bool,
) -> float:
    """Make a step and return the loss before it."""
    losses: list[float] = []

    def gradient() -> Tensor:
        optimizer.zero_grad()
        loss = problem.loss(model(x), y)
        loss.backward()
        losses.append(loss.item())
        return loss

    if ascends:
        optimizer.step(gradient)  # takes a second one
    else:
        gradient()
        optimizer.step()
    return losses[0]


def _batches(
    problem: Problem, seed: int, batch: int | str | None
) -> Iterator[tuple[Tensor, Tensor]]:
    split, data, epoch = problem.split(seed), problem.data, 0
    while True:
        for chosen in problem.order(seed, epoch, batch):
            rows = torch.from_numpy(chosen)
            y = data.y[rows]
            x = ((data.x[rows] - split.shift) * split.scale).float()
            yield x, y.float() if y.is_floating_point() else y
        epoch += 1
