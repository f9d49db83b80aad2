"""Member-steps per second of a small MLP: Ravine's population against its peers.

`mlp` 64-64-10 on the digits, batch 64, Adam, two cores. Every side runs in processes of its own;
all take turns. Times are microseconds per member-step.
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from _processes import Stage, stage
from _timing import Figure, cores, hold_to, interleaved, parser, report, row

NAME = "mlp 64-64-10, batch 64"
SIZES = {"sizes": [64, 64, 10], "batch": 64}


def write_data(folder: str) -> None:
    digits = load_digits()
    np.save(Path(folder, "x.npy"), (digits.data / 16).astype(np.float32))
    np.save(Path(folder, "y.npy"), digits.target.astype(np.int64))


def optuna_sides(on: Stage, settings: dict) -> dict[str, str]:
    return {
        loader: on.add(
            f"Optuna, {loader}, 2 processes",
            "optuna_study",
            settings | {"threads": 1, "study": loader, "whole_batches": loader != "DataLoader"},
            processes=2,
        )
        for loader in ("DataLoader", "loader of whole batches")
    }


def torch_sides(on: Stage, settings: dict) -> list[str]:
    return [
        on.add("torch loop, 1 thread", "torch_loop", settings | {"threads": 1}),
        on.add("torch loop, 2 threads", "torch_loop", settings | {"threads": 2}),
        on.add("torch loop, 2 processes", "torch_loop", settings | {"threads": 1}, processes=2),
    ]


def jax_sides(on: Stage, settings: dict, stacks: list[int], python: str, n: int) -> list[str]:
    return [
        on.add(
            f"JAX, stack {members}, {n} process{'es' * (n > 1)}",
            "jax_scan",
            settings | {"members": members},
            processes=n,
            python=python,
        )
        for members in stacks
    ]


def limit_sides(on: Stage, settings: dict, stacks: list[int]) -> list[str]:
    """Add one process with two threads and two processes with one, for each stack size."""
    return [
        on.add(
            f"bmm, stack {members}, {'2 threads' if n == 1 else '2 processes'}",
            "bmm_limit",
            settings | {"threads": 3 - n, "members": members},
            processes=n,
        )
        for members in stacks
        for n in (1, 2)
    ]


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--jax-python",
        metavar="PATH",
        help="Python of an environment with JAX and optax, when it is not this one",
    )
    given = options.parse_args()
    hold_to(cores())
    stacks = [32, 64] if given.quick else [16, 32, 64, 128]
    with tempfile.TemporaryDirectory() as folder, stage() as on:
        write_data(folder)
        settings = SIZES | {"data": folder, "round": 0.2 if given.quick else 0.5}
        ours = on.add("Ravine", "ravine_population", settings | {"threads": 2})
        optuna = optuna_sides(on, settings)
        one, two = (jax_sides(on, settings, stacks, given.jax_python, n) for n in (1, 2))
        figures = [
            ("Optuna + DataLoader + torch, two processes", [optuna["DataLoader"]], 15),
            ("the same, whole batches", [optuna["loader of whole batches"]], None),
            ("sequential torch loop, fused, best of", torch_sides(on, settings), 8),
            ("JAX + optax, vmap and scan, best stack", one, 1),
            ("the same in two processes, a core each", two, None),
            (
                "matrix products alone (torch.bmm), best of",
                limit_sides(on, settings, stacks),
                0.5,
            ),
        ]
        times = interleaved(on.sides, 3 if given.quick else 9)
        rows = [
            row(NAME, ours, Figure(text, sides, least, on.absent_of([ours, *sides])), times)
            for text, sides, least in figures
        ]
    report("population", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
