"""Wall time of the commands a person waits for, from a fresh process.

`ravine --help`, and `ravine compare` with its defaults on cold caches: nothing compiled before is
found again. Two cores. The ratio is limit / time.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _timing import Figure, cores, hold_to, parser, report, row

RAVINE = Path(sys.executable).with_name("ravine")


def seconds_of(arguments: list[str], environment: dict[str, str]) -> float:
    """Return the wall time of one command, which must succeed."""
    begin = time.perf_counter()
    done = subprocess.run(
        [RAVINE, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    taken = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"ravine {' '.join(arguments)}: failed\n{done.stderr[-3000:]}")
    return taken


def help_seconds() -> float:
    return seconds_of(["--help"], {})


def compare_seconds() -> float:
    """Time the main job with empty compiler caches and an empty folder for its results."""
    with tempfile.TemporaryDirectory() as fresh:
        caches = ("RAVINE_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR")
        environment = {name: str(Path(fresh, name)) for name in caches}
        return seconds_of(["compare", "--out", str(Path(fresh, "study"))], environment)


def main() -> None:
    given = parser(__doc__).parse_args()
    hold_to(cores())
    limits = {"ravine --help": 0.5, "ravine compare": 60.0}
    help_seconds()  # the first start writes the bytecode of freshly installed packages
    times = {
        "ravine --help": [help_seconds() for _ in range(5 if given.quick else 21)],
        "ravine compare": [compare_seconds() for _ in range(1 if given.quick else 3)],
    }
    for name, limit in limits.items():
        times[f"limit of {name}"] = [limit] * len(times[name])
    rows = [
        row(name, name, Figure(f"at most {limit:g} s", [f"limit of {name}"], 1.0), times)
        for name, limit in limits.items()
    ]
    report("startup", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
