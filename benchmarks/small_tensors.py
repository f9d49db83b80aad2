"""Adam over 256 small tensors: `ravine.optim` against torch's fused step.

64 times the shapes 64x64, 64, 10x64 and 10, float32, two cores. Once with the same gradient tensors
at every step, once with fresh ones, as `zero_grad()` and `backward()` leave them.
"""

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

import ravine.optim
from _timing import Figure, Side, cores, hold_to, interleaved, parser, repeated, report, row

SHAPES = [(64, 64), (64,), (10, 64), (10,)] * 64
STEPS = 20  # per measurement with fresh gradients


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(0.05 * torch.randn(shape)) for shape in SHAPES]


def persistent(make: Callable[[list[nn.Parameter]], Optimizer]) -> Callable[[], object]:
    """Return the step of an optimizer whose gradients stay the same tensors."""
    weights = parameters()
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    return make(weights).step


def fresh(make: Callable[[list[nn.Parameter]], Optimizer]) -> Callable[[], float]:
    """Return a measurement of steps after `zero_grad()` and `backward()`, which are not timed."""
    weights = parameters()
    optimizer = make(weights)

    def measure() -> float:
        seconds = 0.0
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.stack([weight.square().sum() for weight in weights]).sum().backward()
            begin = time.perf_counter()
            optimizer.step()
            seconds += time.perf_counter() - begin
        return seconds / STEPS

    return measure


def main() -> None:
    given = parser(__doc__).parse_args()
    hold_to(cores())
    torch.manual_seed(0)
    makers = {
        "Ravine": ravine.optim.Adam,
        "torch fused": lambda weights: torch.optim.Adam(weights, fused=True),
        "torch foreach": lambda weights: torch.optim.Adam(weights, foreach=True),
    }
    length = 0.05 if given.quick else 0.2
    sides = [
        Side(f"persistent, {name}", repeated(persistent(make), length))
        for name, make in makers.items()
    ]
    sides += [Side(f"fresh, {name}", fresh(make)) for name, make in makers.items()]
    times = interleaved(sides, 3 if given.quick else 21)
    rows = [
        row(
            f"256 small tensors, {kind} gradients",
            f"{kind}, Ravine",
            Figure(name, [f"{kind}, {name}"], 10 if name == "torch fused" else None),
            times,
        )
        for kind in ("persistent", "fresh")
        for name in ("torch fused", "torch foreach")
    ]
    report("small tensors", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
