"""Whether two evaluations of a loss are equal, and what is held still to make them so."""

import random

import numpy as np
import torch
from torch import Tensor

from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox


def hold_still(box: Sandbox) -> tuple[list[Finding], bool]:
    """Find what changes between evaluations, hold it; return a note for each kind, and success.

    Buffers that an evaluation writes are put back before each; generators are seeded. What still
    differs then draws on randomness that cannot be held.
    """
    before = {name: buffer.clone() for name, buffer in box.whole.named_buffers()}
    first = box.value()
    changed = [
        (name, buffer, before[name])
        for name, buffer in box.whole.named_buffers()
        if not _same(buffer, before[name])
    ]
    moved = box.value() if changed else first  # from the changed buffers, the seed held
    box.moving = [(buffer, kept) for _, buffer, kept in changed]
    box.hold()
    notes = []
    if changed:
        notes.append(_mode([name for name, _, _ in changed], first, moved))
    random_notes, steady = _randomness(box, first)
    return notes + random_notes, steady


def hold_alike(box: Sandbox, other: Sandbox) -> None:
    """Hold in a sandbox what is held in another one of the same model."""
    box.hold_all, box.draws = other.hold_all, other.draws
    buffers = dict(box.whole.named_buffers())
    box.moving = [
        (buffers[name], buffers[name].clone())
        for name, one in other.whole.named_buffers()
        if any(one is buffer for buffer, _ in other.moving)
    ]


def _mode(names: list[str], first: Tensor, moved: Tensor) -> Finding:
    statistics = [n.removeprefix("model.") for n in names if "num_batches" not in n] or names
    others = f" and {len(statistics) - 1} more" if len(statistics) > 1 else ""
    off = abs(float(moved - first))
    effect = (
        f"a second evaluation of the same batch gives a loss that differs by {off:.3g}"
        if off
        else "the loss does not depend on them in this mode"
    )
    said = (
        f"an evaluation changes the statistics {statistics[0]}{others}: {effect}; they are put"
        " back before every evaluation"
    )
    return Finding(statistics[0], "mode", said, error=False)


def _randomness(box: Sandbox, first: Tensor) -> tuple[list[Finding], bool]:
    """Return a note where evaluations differ, after holding what can be held; and success."""
    free = _other_seed(box)
    held = _repeats(box, first)
    if held and _same(free, first):
        box.draws = False
        return [], True
    off = abs(float(free - first))
    if not held:
        box.hold_all = True
        first = box.value()
        held = _repeats(box, first)
    if held:
        said = (
            f"two evaluations differ by {off:.3g}; with one seed for all they are equal, and so"
            " they were checked"
        )
    else:
        off = max(off, abs(float(box.value() - first)))
        said = (
            f"two evaluations differ by {off:.3g} even with Python's, NumPy's and torch's"
            " generators seeded; differences of such a loss say nothing about its gradient, so"
            " nothing could be checked: let the model draw from torch's default generator"
        )
    return [Finding(None, "randomness", said, error=False)], held


def _other_seed(box: Sandbox) -> Tensor:
    """Return the loss with every generator seeded otherwise."""
    kept, box.seed, held, box.hold_all = box.seed, box.seed + 1, box.hold_all, True
    try:
        return box.value()
    finally:
        box.seed, box.hold_all = kept, held


def _repeats(box: Sandbox, first: Tensor) -> bool:
    # Generators that are not held stand elsewhere by now.
    random.random()
    np.random.random()  # noqa: NPY002 - what user code may draw from
    torch.rand(1)
    return _same(box.value(), first)


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(), b.nan_to_num())
