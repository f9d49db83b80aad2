"""The finding for a tensor with a wrong gradient: its entries, their pattern, who is to blame."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ravine.gradients._analytic import graph_nodes
from ravine.gradients._by_design import scaled_by_frequency
from ravine.gradients._detached import gradients_let_through
from ravine.gradients._listening import Listener
from ravine.gradients._nodes import blame
from ravine.gradients._patterns import pattern
from ravine.gradients._place import Place
from ravine.gradients._report import Entry, Finding
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._search import MOST_FOUND, Wrong, entry_noise, suspects, wrong_entries
from ravine.gradients._slope import SAFETY, Slope


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

    def wrong_backward(
        self, which: int, slope: Slope | None, compared: tuple[Tensor, Tensor] | None = None
    ) -> Finding:
        """Return the finding for a tensor with a wrong gradient.

        Args:
            which: Its number.
            slope: Along a direction in which it shows, where it was found by one.
            compared: Entries and their numeric values, where they have been taken already.
        """
        gradient = self.place.gradients[which]
        assert gradient is not None
        wrong = self._wrong(which, compared)
        shape = gradient.shape
        designed = scaled_by_frequency(self._box, which, wrong.entries, wrong.slopes)
        if designed is not None:
            return Finding(self.place.box.names[which], "backward", designed, error=False)
        evidence = pattern(gradient, wrong.sampled, wrong.numeric, self._sizes(), wrong.noise)
        if slope is not None and wrong.hidden(gradient):
            evidence = (
                f"along a direction autograd gives {slope.analytic:.3g}, differences give"
                f" {slope.numeric:.3g} to within {SAFETY * slope.error:.2g}; rounding hides single"
                " entries"
            )
        evidence = self._detached(which, wrong) or evidence
        if self._blamed:
            evidence += f". {'; '.join(self._blamed)}"
        shown = [
            Entry(_index(entry, shape), slope.analytic, slope.numeric)
            for entry, slope in zip(wrong.entries, wrong.slopes, strict=True)
        ]
        worst = max(shown, key=lambda one: abs(one.analytic - one.numeric), default=None)
        if worst is None:
            numbers = (None, None) if slope is None else (slope.analytic, slope.numeric)
            return Finding(self.place.box.names[which], "backward", evidence, True, None, *numbers)
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
        slopes = [self.place.pair(which, one) for one in found]
        return Wrong(found, slopes, entries, numeric, entry_noise(self.place, which))

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


def reads_original(model: nn.Module, nodes: Sequence[Any]) -> bool:
    """Return whether a graph of the copy reaches parameters of the caller's model."""
    own = {id(one) for one in model.parameters()}
    return any(id(getattr(node, "variable", None)) in own for node in nodes)


def hooked(model: nn.Module) -> list[str]:
    """Return the names of parameters with hooks on their gradients."""
    kinds = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return [
        name
        for name, one in model.named_parameters()
        if any(getattr(one, kind, None) for kind in kinds)
    ]


def _index(entry: int, shape: torch.Size) -> tuple[int, ...]:
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(entry), shape))
