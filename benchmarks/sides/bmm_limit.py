"""The matrix products of a stacked MLP step alone, with `torch.bmm`: what no step can beat."""

import time
from collections.abc import Callable
from itertools import pairwise

import torch


def prepare(settings: dict) -> Callable[[], tuple[int, float]]:
    """Return a function that does the products for about `settings["round"]` seconds."""
    torch.set_num_threads(settings["threads"])
    members = settings["members"]
    products = _products(settings["sizes"], settings["batch"], members)

    def multiply(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            for a, b, out in products:
                torch.bmm(a, b, out=out)
        return time.perf_counter() - begin

    multiply(10)
    steps = max(1, round(settings["round"] / (multiply(10) / 10)))
    return lambda: (steps * members, multiply(steps))


def _products(sizes: list[int], batch: int, members: int) -> list[tuple[torch.Tensor, ...]]:
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
