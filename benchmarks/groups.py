"""Adam over ResNet-18's size: 100 groups with 100 rates changed at every step, against one group.

11.5 M float32 parameters, two cores. Both sides hold the same 106 tensors, so that 100 groups have
something to divide. The first step is timed in fresh processes, with empty and with full caches.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import ravine.optim
from _timing import Figure, Side, cores, hold_to, interleaved, parser, repeated, report, row
from rule_steps import shapes

GROUPS = 100
FIRST_STEP = """
import time, torch, ravine.optim
weights = [torch.nn.Parameter(torch.randn(200, 200)) for _ in range(53)]
for weight in weights:
    weight.grad = torch.randn_like(weight)
optimizer = ravine.optim.Adam(weights)
begin = time.perf_counter()
optimizer.step()
print(time.perf_counter() - begin)
"""


def halves() -> list[nn.Parameter]:
    """Return ResNet-18's tensors, each in two halves, with gradients."""
    weights = []
    for shape in shapes():
        for _ in range(2):
            weight = nn.Parameter(0.05 * torch.randn(shape[0] // 2, *shape[1:]))
            weight.grad = 0.01 * torch.randn_like(weight)
            weights.append(weight)
    return weights


def stepper(groups: int) -> Callable[[], object]:
    """Return a step before which every group gets a new rate."""
    weights = halves()
    parts = [weights[i::groups] for i in range(groups)]
    optimizer = ravine.optim.Adam([{"params": part} for part in parts])
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        for i, group in enumerate(optimizer.param_groups):
            group["lr"] = 1e-3 / (1 + i + count)
        optimizer.step()

    return step


def first_step(folder: str) -> float:
    """Return the seconds of a first step in a new process that keeps its caches in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEP],
        capture_output=True,
        text=True,
        check=True,
        env={"RAVINE_CACHE_DIR": folder, "NUMBA_CACHE_DIR": folder},
    )
    return float(done.stdout)


def first_steps(rounds: int) -> dict[str, list[float]]:
    """Return the times of first steps without and with compiled code from before."""
    times: dict[str, list[float]] = {"first step, cold": [], "first step, warm": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for taken in times.values():
                taken.append(first_step(str(Path(folder))))
    return times


def main() -> None:
    given = parser(__doc__).parse_args()
    hold_to(cores())
    torch.manual_seed(0)
    length = 0.1 if given.quick else 0.5
    names = {"100 groups, new rates": GROUPS, "one group, new rate": 1}
    sides = [Side(name, repeated(stepper(count), length)) for name, count in names.items()]
    times = interleaved(sides, 3 if given.quick else 21)
    times |= first_steps(1 if given.quick else 5)
    rows = [
        row(
            "Adam",
            "100 groups, new rates",
            Figure("one group", ["one group, new rate"], 0.95),
            times,
        )
    ]
    for name, limit in {"first step, cold": 2.0, "first step, warm": 0.3}.items():
        times[f"limit of {name}"] = [limit] * len(times[name])
        figure = Figure(f"at most {limit:g} s", [f"limit of {name}"], 1.0)
        rows.append(row(name, name, figure, times))
    report("groups", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
