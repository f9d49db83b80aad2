"""The matrix products of a stacked MLP step alone, each the faster way `torch.bmm` can do it."""

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Product = tuple[Tensor, Tensor, Tensor]  # two operands and the memory of the result
TRIES = 31


def prepare(settings: dict) -> Callable[[], tuple[int, float]]:
    """Return a function that does the products for about `settings["round"]` seconds."""
    torch.set_num_threads(settings["threads"])
    members = settings["members"]
    products = _faster(_products(settings["sizes"], settings["batch"], members))

    def multiply(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            for a, b, out in products:
                torch.bmm(a, b, out=out)
        return time.perf_counter() - begin

    multiply(10)
    steps = max(1, round(settings["round"] / (multiply(10) / 10)))
    return lambda: (steps * members, multiply(steps))


def _products(sizes: list[int], batch: int, members: int) -> list[Product]:
    """Return operands and results: `x W^T`, `dy^T x`, and `dy W` for all layers but the first."""
    products = []
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        x = torch.randn(members, batch, inputs)
        w = torch.randn(members, outputs, inputs)
        dy = torch.randn(members, batch, outputs)
        products.append((x, w.transpose(1, 2), torch.empty_like(dy)))
        products.append((dy.transpose(1, 2), x, torch.empty_like(w)))
        if layer:
            products.append((dy, w, torch.empty_like(x)))
    return products


def _faster(plain: list[Product]) -> list[Product]:
    """Return each product as `A B` or as the transpose of its result, `B^T A^T`.

    Each is timed among the others, with their data in the cache as in a step.
    """
    ways = plain, [(b.mT, a.mT, torch.empty(out.mT.shape)) for a, b, out in plain]
    times = torch.tensor([[_times(way) for way in ways] for _ in range(TRIES)])
    chosen = times.median(0).values.argmin(0).tolist()
    return [ways[way][i] for i, way in enumerate(chosen)]


def _times(products: list[Product]) -> list[float]:
    taken = []
    for a, b, out in products:
        begin = time.perf_counter()
        torch.bmm(a, b, out=out)
        taken.append(time.perf_counter() - begin)
    return taken
