"""Findings for tensors that disagree: a wrong backward pass, a kink, or too few digits."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ravine.gradients._analytic import graph_nodes
from ravine.gradients._detached import gradients_let_through
from ravine.gradients._listening import Listener
from ravine.gradients._nodes import blame
from ravine.gradients._patterns import pattern
from ravine.gradients._place import Place, Slope
from ravine.gradients._report import Entry, Finding
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._search import MOST_FOUND, Wrong, disagreeing_halves, suspects, wrong_entries

_PRECISION = 1e-2  # relative error of a tensor's gradient that is worth a note
_UNIMPORTANT = 1e-4  # of the whole gradient: below, a tensor's relative error is rounding


class Diagnosis:
    """Why gradients are wrong at a place; experiments on the whole model are made once.

    Args:
        place: Where they are wrong.
        box: Its sandbox.
        generator: Draws directions and samples.
        seed: For the nodes.
        listener: Hears of progress.
    """

    def __init__(
        self,
        place: Place,
        box: Sandbox,
        generator: torch.Generator,
        seed: int,
        listener: Listener,
    ) -> None:
        self.place = place
        self._box = box
        self._generator = generator
        self._seed = seed
        self._listener = listener

    @cached_property
    def _blamed(self) -> list[str]:
        loss = self._box.loss()
        return blame(self._box, list(graph_nodes(loss.grad_fn)), self._seed)

    @cached_property
    def _through(self) -> tuple[list[Tensor | None], list[str]]:
        return gradients_let_through(self._box)

    def wrong_backward(self, which: int, compared: tuple[Tensor, Tensor] | None = None) -> Finding:
        """Return the finding for a tensor with a wrong gradient.

        Args:
            which: Its number.
            compared: Entries and their numeric values, where they have been taken already.
        """
        gradient = self.place.gradients[which]
        assert gradient is not None
        wrong = self._wrong(which, compared)
        shape = gradient.shape
        evidence = pattern(gradient, wrong.sampled, wrong.numeric, self._sizes())
        evidence = self._detached(which, wrong) or evidence
        if self._blamed:
            evidence += f". {'; '.join(self._blamed)}"
        shown = [
            Entry(_index(entry, shape), slope.analytic, slope.numeric)
            for entry, slope in zip(wrong.entries, wrong.slopes, strict=True)
        ]
        worst = max(shown, key=lambda one: abs(one.analytic - one.numeric), default=None)
        if worst is None:
            return Finding(self.place.box.names[which], "backward", evidence, error=True)
        if len(shown) < MOST_FOUND:
            evidence = f"{len(shown)} of {gradient.numel():,} entries found wrong; {evidence}"
        return Finding(
            self.place.box.names[which],
            "backward",
            evidence,
            True,
            worst.index,
            worst.analytic,
            worst.numeric,
            tuple(shown),
        )

    def _wrong(self, which: int, compared: tuple[Tensor, Tensor] | None) -> Wrong:
        if compared is None:
            return wrong_entries(self.place, which, self._generator, self._listener)
        entries, numeric = compared
        found = suspects(self.place, which, entries, numeric)[:MOST_FOUND]
        return Wrong(found, [self.place.pair(which, one) for one in found], entries, numeric)

    def _detached(self, which: int, wrong: Wrong) -> str | None:
        """Return words where undoing `detach` and its like puts the gradient right."""
        gradients, cuts = self._through
        if not cuts or not gradients or gradients[which] is None or not wrong.entries:
            return None
        given = [float(gradients[which].reshape(-1)[entry]) for entry in wrong.entries]  # type: ignore[union-attr]
        pairs = zip(given, wrong.slopes, strict=True)
        if any(abs(a - s.numeric) > 1e-4 * abs(s.numeric) + 10 * s.error for a, s in pairs):
            return None
        return (
            f"a term is left out: {', '.join(cuts)} cuts a branch off; made to let gradients"
            " through, the gradient agrees"
        )

    def _sizes(self) -> dict[str, int]:
        """Return the numbers a factor may be."""
        for name, subject in zip(self._box.names, self._box.subjects, strict=True):
            if name.startswith("input") and subject.ndim:
                return {"the batch size": subject.shape[0]}
        return {}


def kink_note(
    place: Place, which: int, generator: torch.Generator, entry: int | None = None
) -> Finding:
    """Return the note for a tensor whose one-sided derivatives differ at the point."""
    found = _kinked_entry(place, which, generator) if entry is None else entry
    if found is None:
        slope = place.ladder(place.direction([which], generator))
        return _kink(place, which, None, slope)
    return _kink(place, which, found, place.pair(which, found))


def _kink(place: Place, which: int, entry: int | None, slope: Slope) -> Finding:
    index = None if entry is None else _index(entry, place.base[which].shape)
    said = (
        f"a kink at this very point (ReLU at 0, equal values in a maximum, a margin of 0):"
        f" one-sided derivatives are {slope.left:.6g} and {slope.right:.6g} and stay apart as the"
        " step shrinks; at a point nearby the gradient agrees"
    )
    return Finding(
        place.box.names[which], "kink", said, False, index, slope.analytic, slope.numeric
    )


def _kinked_entry(place: Place, which: int, generator: torch.Generator) -> int | None:
    """Return an entry with a kink, by halving; None where only several together show one."""
    waiting = [torch.arange(place.base[which].numel())]
    for _ in range(64):
        if not waiting:
            break
        group = waiting.pop()
        if len(group) == 1:
            if place.pair(which, int(group)).kink:
                return int(group)
            continue
        waiting += disagreeing_halves(place, which, group, generator)
    return None


def precision_note(
    names: Sequence[str],
    own: Sequence[Tensor | None],
    wide: Sequence[Tensor | None],
    dtype: torch.dtype,
) -> Finding | None:
    """Return the note where gradients in the model's dtype are far from those in float64."""
    total = sum(float(one.norm()) ** 2 for one in wide if one is not None) ** 0.5
    errors = [
        0.0
        if a is None or b is None or not b.numel()
        else float((a.double() - b).norm()) / max(float(b.norm()), _UNIMPORTANT * total, 1e-300)
        for a, b in zip(own, wide, strict=True)
    ]
    worst = max(range(len(errors)), key=errors.__getitem__, default=None)
    if worst is None or errors[worst] < _PRECISION:
        return None
    a, b = own[worst], wide[worst]
    assert a is not None and b is not None
    index = _index(int((a.double() - b).abs().argmax()), a.shape)
    name = str(dtype).removeprefix("torch.")
    said = (
        f"too few digits: in {name} the gradient is off by {errors[worst]:.1%}"
        f" ({sum(e >= _PRECISION for e in errors)} tensors by 1 % or more); in float64 it passes"
    )
    return Finding(names[worst], "precision", said, False, index, float(a[index]), float(b[index]))


def reads_original(model: nn.Module, nodes: Sequence[Any]) -> bool:
    """Return whether a graph of the copy reaches parameters of the caller's model."""
    own = {id(one) for one in model.parameters()}
    return any(id(getattr(node, "variable", None)) in own for node in nodes)


def _index(entry: int, shape: torch.Size) -> tuple[int, ...]:
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(entry), shape))
