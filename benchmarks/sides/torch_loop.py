"""A sequential torch loop as fast as a careful person writes it: no DataLoader, fused Adam."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def mlp(sizes: list[int]) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def load(folder: str) -> tuple[Tensor, Tensor]:
    """Return the inputs and labels that every side trains on."""
    x, y = (torch.from_numpy(np.load(f"{folder}/{name}.npy")) for name in ("x", "y"))
    return x, y


def batches(x: Tensor, y: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches for ever, shuffled anew each epoch, the last partial one dropped."""
    steps = len(x) // batch
    while True:
        for rows in torch.randperm(len(x))[: steps * batch].view(steps, batch):
            yield x.index_select(0, rows), y.index_select(0, rows)


def prepare(settings: dict) -> Callable[[], tuple[int, float]]:
    """Return a function that trains for about `settings["round"]` seconds."""
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["process"])
    model = mlp(settings["sizes"])
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    feed = batches(*load(settings["data"]), settings["batch"])

    def train(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            x, y = next(feed)
            cross_entropy(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
        return time.perf_counter() - begin

    train(30)
    steps = max(1, round(settings["round"] / (train(50) / 50)))
    return lambda: (steps, train(steps))
