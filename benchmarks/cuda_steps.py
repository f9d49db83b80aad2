"""Adam's step on a GPU: Ravine's Triton kernel and torch's fused step, as shares of a copy.

One tensor of 64 Mi weights, and 1000 of 4096. A step reads w, g and two states and writes w and
the states; its bytes per second are given as per cent of those of `y.copy_(x)` on the same card.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor

from _timing import Side, interleaved, parser
from ravine.kernels._triton_launch import cuda_launch
from ravine.rules import get_rule

MEBI = 1024 * 1024
SIZES = {"1 tensor of 64 Mi": [(64 * MEBI,)], "1000 tensors of 4096": [(64, 64)] * 1000}
DTYPES = (torch.float32, torch.bfloat16)
MOVES = 4 + 3  # arrays read and written by a step
SETTINGS = {"lr": 1e-3, "weight_decay": 0.0}


def measured(step: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Return a `measure` that queues steps for about so long and waits for the last one."""

    def timed(count: int) -> float:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            step()
        torch.cuda.synchronize()
        return (time.perf_counter() - begin) / count

    timed(3)
    return partial(timed, max(1, round(seconds / timed(10))))


def filled(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> list[Tensor]:
    return [torch.randn(shape, device="cuda").to(dtype) for shape in shapes]


def ravine_step(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> Callable[[], object]:
    rule, weights = get_rule("adam"), filled(shapes, dtype)
    states = {name: [torch.zeros_like(w) for w in weights] for name in rule.state}
    rows = np.array([[0.0, *rule.hypers.values()]] * len(weights))
    scalars = np.zeros((len(weights), 0))
    return cuda_launch(rule, weights, filled(shapes, dtype), states, scalars, rows).step


def fused_step(
    shapes: list[tuple[int, ...]], dtype: torch.dtype, *, capturable: bool = False
) -> Callable[[], object]:
    weights = [w.requires_grad_() for w in filled(shapes, dtype)]
    for w, g in zip(weights, filled(shapes, dtype), strict=True):
        w.grad = g
    return torch.optim.Adam(weights, **SETTINGS, fused=True, capturable=capturable).step


def captured(step: Callable[[], object]) -> Callable[[], object]:
    """Return the replay of a step captured as a CUDA graph."""
    aside = torch.cuda.Stream()
    with torch.cuda.stream(aside):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def sides(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Return the steps that are compared, by name."""
    return {
        "Ravine": ravine_step(shapes, dtype),
        "torch fused": fused_step(shapes, dtype),
        "Ravine, captured": captured(ravine_step(shapes, dtype)),
        "torch fused, captured": captured(fused_step(shapes, dtype, capturable=True)),
    }


def copy_of(count: int) -> Callable[[], object]:
    x, y = torch.randn(count, device="cuda"), torch.empty(count, device="cuda")
    return lambda: y.copy_(x)


def rows(name: str, shapes: list[tuple[int, ...]], *, quick: bool) -> list[dict]:
    """Return a row per dtype and way of stepping."""
    length, rounds = (0.05, 3) if quick else (0.3, 11)
    count, found = sum(int(np.prod(shape)) for shape in shapes), []
    copied = 64 * MEBI  # far more than the card's cache holds
    for dtype in DTYPES:
        steps = sides(shapes, dtype) | {"copy": copy_of(copied)}
        times = interleaved([Side(n, measured(s, length)) for n, s in steps.items()], rounds)
        bandwidth = 2 * 4 * copied / median(times.pop("copy"))
        moved = MOVES * count * dtype.itemsize
        for way, taken in times.items():
            share = 100 * moved / median(taken) / bandwidth
            row = {"tensors": name, "dtype": str(dtype), "way": way, "seconds": median(taken)}
            found.append(row | {"per_cent_of_copy": share})
    return found


def main() -> None:
    given = parser(__doc__).parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device: this benchmark measures a GPU")
    torch.manual_seed(0)
    found = [row for name, shapes in SIZES.items() for row in rows(name, shapes, quick=given.quick)]
    out = sys.stderr if given.json else sys.stdout
    print(f"\nAdam's step on {torch.cuda.get_device_name()}, per cent of copy bandwidth", file=out)
    for row in found:
        place = f"{row['tensors']:22}{row['dtype']:16}{row['way']:24}"
        print(f"{place}{row['per_cent_of_copy']:6.1f} %{row['seconds'] * 1e6:12.1f} us", file=out)
    if given.json:
        print(json.dumps({"device": torch.cuda.get_device_name(), "rows": found}, indent=1))


if __name__ == "__main__":
    main()
