"""The golden trajectories: first iterates of every rule, stored as data, and how near ours are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ravine.optim import from_rule
from ravine.rules import Rule, get_rule, rule_names
from ravine.testing import _golden_problem as problem
from ravine.testing._golden_classes import CLASSES, class_path
from ravine.testing._paths import Arrays, largest_difference
from ravine.testing._paths import Path as WeightPath
from ravine.testing._steps import kernel_path, optimizer_path, reference_path

FOLDER = Path(__file__).parent / "golden"
# The data is exact to the last bit of float64; what remains is rounding over the steps.
NEAR = 1e-10


@dataclass(frozen=True, eq=False)
class Golden:
    """A stored trajectory.

    Args:
        rule: Name of the rule.
        convention: Its convention.
        hypers: Hyper-parameters by formula name.
        source: Where the formula comes from that made the data.
        tensors: Which of the problem's tensors moved: W, b or both.
        iterates: Stored weights after each step, flat.
        readouts: Weights to evaluate after each step; the iterates where they are the same.
    """

    rule: str
    convention: str
    hypers: Mapping[str, Any]
    source: str
    tensors: tuple[str, ...]
    iterates: tuple[tuple[float, ...], ...]
    readouts: tuple[tuple[float, ...], ...]

    @property
    def id(self) -> str:
        """Name in tests and tables."""
        return f"{self.rule}@{self.convention}"


@lru_cache(maxsize=1)
def all_golden() -> tuple[Golden, ...]:
    """Return every stored trajectory, in the order of the registry."""
    order = {name: i for i, name in enumerate(rule_names())}
    files = sorted(FOLDER.glob("*.json"), key=lambda f: (order.get(f.stem, len(order)), f.stem))
    return tuple(entry for file in files for entry in read_golden(file))


def read_golden(file: Path) -> list[Golden]:
    """Return the trajectories of one file."""
    return [
        Golden(
            entry["rule"],
            entry["convention"],
            entry["hypers"],
            entry["source"],
            tuple(entry["tensors"]),
            tuple(tuple(row) for row in entry["iterates"]),
            tuple(tuple(row) for row in entry.get("readouts", entry["iterates"])),
        )
        for entry in json.loads(file.read_text(encoding="utf-8"))
    ]


def golden_differences(golden: Golden, rule: Rule | None = None) -> dict[str, float]:
    """Return how far Ravine is from a stored trajectory, by way of computing.

    Args:
        golden: The trajectory.
        rule: A rule to judge instead of the registry's.

    Returns:
        Largest difference of ``"formula"``, ``"kernel"`` and ``"optimizer"``, and of the weights
        to evaluate that each gives, relative to the largest weight.
    """
    if golden.rule in CLASSES:
        stored = _path(golden.iterates, golden.tensors)
        path = class_path(golden.rule, golden.hypers, golden.tensors, len(stored))
        return {"optimizer": largest_difference(path, stored)}
    rule = rule or get_rule(golden.rule, golden.convention)
    iterates = _differences(golden, rule, readout=False)
    readouts = _differences(golden, rule, readout=True)
    return iterates | {f"readout of the {way}": found for way, found in readouts.items()}


def _differences(golden: Golden, rule: Rule, *, readout: bool) -> dict[str, float]:
    """Return how far the iterates of each way of computing are off, or its readouts."""
    stored = _path(golden.readouts if readout else golden.iterates, golden.tensors)
    hypers = rule.check(golden.hypers)
    along = ([w.copy() for w in problem.START], _gradient, [hypers["lr"]] * len(stored))
    make = from_rule(rule)
    found = {
        "formula": reference_path(rule, *along, hypers, readout=readout),
        "kernel": kernel_path(rule, *along, hypers, readout=readout),
        "optimizer": optimizer_path(lambda w: make(w, **hypers), *along, readout=readout),
    }
    return {way: largest_difference(path, stored) for way, path in found.items()}


def _gradient(weights: Sequence[NDArray[np.float64]], t: int) -> Arrays:
    return problem.gradients(weights)


def _path(rows: Sequence[Sequence[float]], names: Sequence[str]) -> WeightPath:
    return [_tensors(row, names) for row in rows]


def _tensors(flat: Sequence[float], names: Sequence[str]) -> Arrays:
    """Return the stored tensors in their shapes."""
    sizes = {"W": 6, "b": 3}
    parts = np.split(np.array(flat), np.cumsum([sizes[name] for name in names])[:-1])
    shapes = dict(zip(("W", "b"), problem.SHAPES, strict=True))
    return [part.reshape(shapes[name]) for part, name in zip(parts, names, strict=True)]
