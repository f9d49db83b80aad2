"""Member-steps of an MLP on Fashion-MNIST: Ravine's population against sequential torch.

`mlp` 784-128-10, batch 128, Adam, two cores. Here the matrix products dominate, so the possible
gain is small: the row of `torch.bmm` shows how small.
"""

import gzip
import tempfile
from pathlib import Path

import numpy as np

from _processes import stage
from _timing import Figure, cores, hold_to, interleaved, parser, report, row
from population import limit_sides, torch_sides

NAME = "mlp 784-128-10, batch 128"
SIZES = {"sizes": [784, 128, 10], "batch": 128}


def idx(folder: Path, name: str, header: int) -> np.ndarray:
    """Return the bytes of an IDX file, gzipped or not, after its header."""
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.exists()]
    if not found:
        raise SystemExit(f"--data {folder}: holds neither {name} nor {name}.gz")
    opened = gzip.open if found[0].suffix == ".gz" else open
    with opened(found[0], "rb") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def write_data(folder: str, source: Path) -> None:
    x = idx(source, "train-images-idx3-ubyte", 16).reshape(-1, 784)
    y = idx(source, "train-labels-idx1-ubyte", 8)
    np.save(Path(folder, "x.npy"), ((x - x.mean()) / x.std()).astype(np.float32))
    np.save(Path(folder, "y.npy"), y.astype(np.int64))


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--data", type=Path, required=True, help="folder with Fashion-MNIST in IDX format"
    )
    given = options.parse_args()
    hold_to(cores())
    with tempfile.TemporaryDirectory() as folder, stage() as on:
        write_data(folder, given.data)
        settings = SIZES | {"data": folder, "round": 0.3 if given.quick else 1.0}
        ours = on.add("Ravine", "ravine_population", settings | {"threads": 2})
        loops = torch_sides(on, settings)
        limits = limit_sides(on, settings, [4, 32] if given.quick else [4, 8, 16, 32])
        times = interleaved(on.sides, 3 if given.quick else 9)
        figures = [
            ("sequential torch loop, fused, best of", loops, 1.3),
            ("matrix products alone (torch.bmm), best of", limits, None),
        ]
        rows = [
            row(NAME, ours, Figure(text, sides, least, on.absent_of([ours, *sides])), times)
            for text, sides, least in figures
        ]
    report("fashion", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
