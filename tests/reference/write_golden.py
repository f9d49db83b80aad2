"""Write the golden trajectories: `python -m tests.reference.write_golden` from the repository.

Each file holds a list of trajectories of one rule: the weights after each of ten steps on the
problem of `ravine.testing._golden_problem`, W row by row and then b, as this folder's oracles
give them. `readouts` is there where the weights to evaluate are not those that are stored.
"""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ravine.testing import _golden_problem as problem
from tests.reference.golden_settings import CLOSURE_SETTINGS, STEPS, Setting
from tests.reference.oracles import CLOSURES, ORACLES

FOLDER = Path(problem.__file__).parent / "golden"
ITERATES = 10


def trajectories() -> dict[str, list[dict[str, Any]]]:
    """Return every trajectory, in lists by the name of the rule."""
    settings = sorted([*STEPS, *CLOSURE_SETTINGS], key=lambda s: s.rule)
    return {
        rule: [trajectory_of(setting) for setting in group]
        for rule, group in groupby(settings, key=lambda s: s.rule)
    }


def trajectory_of(setting: Setting) -> dict[str, Any]:
    run = _by_closure if (setting.rule, setting.convention) in CLOSURES else _by_steps
    return {
        "rule": setting.rule,
        "convention": setting.convention,
        "hypers": setting.hypers,
        "problem": problem.DESCRIPTION,
        "source": setting.source,
        **run(setting),
    }


def _by_steps(setting: Setting) -> dict[str, Any]:
    oracle = ORACLES[setting.rule, setting.convention]
    # torch's Muon takes matrices only; b stays where it starts
    tensors = 1 if setting.rule == "muon" else 2
    fixed = [w.copy() for w in problem.START[tensors:]]

    def gradient(ws):
        return problem.gradients([*ws, *fixed])[:tensors]

    ws, state = [w.copy() for w in problem.START[:tensors]], {}
    iterates, readouts = [], []
    for t in range(1, ITERATES + 1):
        ws = oracle.step(ws, gradient, state, t, **setting.hypers)
        iterates.append(problem.flatten(ws).tolist())
        readouts.append(problem.flatten(oracle.read(ws, state)).tolist())
    found: dict[str, Any] = {"tensors": ["W", "b"][:tensors], "iterates": iterates}
    return found | ({"readouts": readouts} if oracle.readout else {})


def _by_closure(setting: Setting) -> dict[str, Any]:
    method = CLOSURES[setting.rule, setting.convention]
    w, state = problem.flatten(problem.START), {}
    iterates = []
    for _ in range(ITERATES):
        w = method(w, problem, state, **setting.hypers)
        iterates.append(w.tolist())
    return {"tensors": ["W", "b"], "iterates": iterates}


def text(entries: list[dict[str, Any]]) -> str:
    """Return the file of one rule: one iterate to a line, numbers that read back exactly."""
    blocks = []
    for entry in entries:
        lines = []
        for key, value in entry.items():
            if key in ("iterates", "readouts"):
                rows = ",\n      ".join(json.dumps(row) for row in value)
                lines.append(f'    "{key}": [\n      {rows}\n    ]')
            else:
                lines.append(f'    "{key}": {json.dumps(value)}')
        blocks.append("  {\n" + ",\n".join(lines) + "\n  }")
    return "[\n" + ",\n".join(blocks) + "\n]\n"


def write() -> None:
    """Write one file per rule and remove those of rules that are gone."""
    FOLDER.mkdir(exist_ok=True)
    found = trajectories()
    for path in FOLDER.glob("*.json"):
        if path.stem not in found:
            path.unlink()
    for rule, entries in found.items():
        assert np.isfinite([row for e in entries for row in e["iterates"][-1]]).all(), rule
        (FOLDER / f"{rule}.json").write_text(text(entries))


if __name__ == "__main__":
    write()
