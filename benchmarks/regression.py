"""Has a benchmark's ratio fallen? Compares with stored ratios; never with absolute times.

`regression.py [NAME...]` runs benchmarks and compares every row's ratio with the one stored in
`stored_ratios.json`. A benchmark with a row that is more than 25 % lower runs again; a row that is
lower three times in a row fails the check (exit status 1). `--store` stores the ratios instead.
Both take ten minutes, on a machine that does nothing else.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
STORED = HERE / "stored_ratios.json"
BENCHMARKS = ("rule_steps", "first_step", "state_precision", "small_tensors", "groups", "startup")
ALLOWED_LOSS = 0.25
IN_A_ROW = 3

# A row's benchmark and what it is compared with, as "adam: torch fused", to its ratio.
Ratios = dict[str, float]


def run(name: str) -> Ratios:
    """Run one benchmark and return the ratios of the rows that could be measured."""
    done = subprocess.run(
        [sys.executable, HERE / f"{name}.py", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"benchmark {name} failed with exit status {done.returncode}")
    return ratios(json.loads(done.stdout))


def ratios(document: Mapping) -> Ratios:
    """Return the ratios of a benchmark's JSON."""
    rows = [row for row in document["rows"] if row["ratio"] is not None]
    return {f"{row['benchmark']}: {row['against']}": row["ratio"] for row in rows}


def lost(stored: Ratios, now: Ratios) -> set[str]:
    """Return the rows whose ratio is more than the allowed loss below the stored one."""
    return {
        row for row in stored.keys() & now.keys() if now[row] < (1 - ALLOWED_LOSS) * stored[row]
    }


def compared(name: str, stored: Ratios) -> set[str]:
    """Run one benchmark, again while rows are lost, and return those lost every time."""
    suspects = set(stored)
    for attempt in range(1, IN_A_ROW + 1):
        now = run(name)
        suspects &= lost(stored, now)
        if attempt == 1:
            _tell(name, stored, now)
        if not suspects:
            return suspects
        print(f"{name}: run {attempt} of {IN_A_ROW} is lower in {', '.join(sorted(suspects))}")
    return suspects


def _tell(name: str, stored: Ratios, now: Ratios) -> None:
    for row in sorted(stored):
        value = f"{now[row]:8.2f} {now[row] / stored[row]:8.0%}" if row in now else "not measured"
        print(f"{name}: {row:64}{stored[row]:8.2f}{value}")
    for row in sorted(now.keys() - stored.keys()):
        print(f"{name}: {row:64}   not stored{now[row]:8.2f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    options.add_argument("--store", action="store_true", help="store the ratios of a run")
    given = options.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        options.error(f"NAME must be one of {', '.join(BENCHMARKS)}, got {unknown[0]!r}")
    names = given.names or BENCHMARKS
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    if given.store:
        fresh = {name: {row: round(r, 3) for row, r in run(name).items()} for name in names}
        STORED.write_text(json.dumps(stored | fresh, indent=1) + "\n")
        return
    missing = [name for name in names if name not in stored]
    if missing:
        raise SystemExit(f"no stored ratios of {', '.join(missing)}: run with --store first")
    falling = {f"{name}: {row}" for name in names for row in compared(name, stored[name])}
    for row in sorted(falling):
        print(f"LOST {IN_A_ROW} times in a row: {row}")
    sys.exit(bool(falling))


if __name__ == "__main__":
    main()
