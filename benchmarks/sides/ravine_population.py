"""Ravine's side: one compiled block of members, timed by the population itself."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ravine.population import Population
from ravine.problems import Problem
from ravine.rules import get_rule
from sides.torch_loop import mlp


def prepare(settings: dict) -> Callable[[], tuple[int, float]]:
    """Return a function that times member-steps once the block is compiled."""
    torch.set_num_threads(settings["threads"])
    measure = ravine_member_steps(settings["data"], settings["sizes"], settings["batch"])
    measure()
    return measure


def ravine_member_steps(
    folder: str, sizes: list[int], batch: int
) -> Callable[[], tuple[int, float]]:
    """Return a function that gives 1 and the seconds of one member-step of Adam.

    Model and data are those of the peers; the data is split as in every study.
    """
    x, y = (np.load(f"{folder}/{name}.npy") for name in ("x", "y"))
    held_out = len(x) // 10
    data = (x[held_out:], y[held_out:], x[:held_out], y[:held_out])

    def factory(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        return mlp(sizes)

    population = Population(Problem(factory, data), batch=batch)
    rule = get_rule("adam", "torch")
    return lambda: (1, population.time_step([rule]))
