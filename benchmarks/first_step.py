"""Adam's first step in a fresh process: with empty compiler caches, and with full ones.

What counts is the wall time of the first call of `optimizer.step()` over ResNet-18's 53 tensors:
tracing, importing Numba, compiling or loading, and the update itself. Importing torch and Ravine
comes before. Where launches are prepared by compiled code of Ravine's own, that is loaded at the
second step, which is shown too. torch's steps are beside it for scale. The ratio is limit / time.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _timing import Figure, cores, hold_to, parser, report, row

CHILD = Path(__file__).parent / "sides" / "first_step.py"
LIMITS = {"cold": 2.0, "warm": 0.3}
WAYS = {"ravine": "Ravine", "fused": "torch fused", "compiled": "torch.compile"}
# Numba's own folder too: it holds what is compiled beside installed files.
CACHES = ("RAVINE_CACHE_DIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def steps(way: str, caches: str) -> list[float]:
    """Return the seconds of the first two steps of a process with these caches."""
    done = subprocess.run(
        [sys.executable, CHILD, way],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | dict.fromkeys(CACHES, caches),
    )
    if done.returncode:
        raise SystemExit(f"the first step of {way} failed\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def measured(ways: list[str], rounds: int) -> dict[str, list[float]]:
    """Return every side's times: cold, then warm with what that process left behind."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for way in ways:
            with tempfile.TemporaryDirectory() as caches:
                for state in LIMITS:
                    first, second = steps(way, caches)
                    times.setdefault(f"{WAYS[way]}, {state}", []).append(first)
                    times.setdefault(f"{WAYS[way]}, {state}, second", []).append(second)
    return times


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--compiled", action="store_true", help="also torch.compile of the step (minutes)"
    )
    given = options.parse_args()
    hold_to(cores())
    ways = [way for way in WAYS if way != "compiled" or given.compiled]
    measured(["ravine"], 1)  # writes the bytecode of freshly installed packages
    times = measured(ways, 1 if given.quick else 7)
    rows = []
    for state, limit in LIMITS.items():
        ours, name = f"Ravine, {state}", f"at most {limit:g} s"
        times[f"limit, {state}"] = [limit] * len(times[ours])
        rows.append(row(f"first step, {state}", ours, Figure(name, [f"limit, {state}"], 1), times))
        for other in [WAYS[way] for way in ways[1:]]:
            figure = Figure(f"{other}, {state}", [f"{other}, {state}"])
            rows.append(row(f"first step, {state}", ours, figure, times))
        second = Figure("our first one", [ours])
        rows.append(row(f"second step, {state}", f"{ours}, second", second, times))
    report("first step", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
