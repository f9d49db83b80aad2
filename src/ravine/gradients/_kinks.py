"""Points where one-sided derivatives differ: notes, and values there that are no subgradients."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isnan

import torch

from ravine.gradients._analytic import graph_nodes
from ravine.gradients._nodes import MOST_CALLS, calls_of, node_of, own_function, place_of
from ravine.gradients._place import Place
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._search import disagreeing_halves
from ravine.gradients._slope import Slope

_MOST_GROUPS = 64  # looked at for an entry with a kink
_SLACK = 1e-2  # of the sizes of one-sided derivatives: a value further outside is none between


def kink_findings(
    place: Place,
    kinked: Mapping[int, int | None],
    impossible: Sequence[str],
    generator: torch.Generator,
) -> list[Finding]:
    """Return a finding for each tensor whose one-sided derivatives differ at the point.

    Args:
        place: The point.
        kinked: An entry with a kink, None where it is to be found, by number of the tensor.
        impossible: What `no_subgradients` says; a kink is an error then, else a note.
        generator: Draws directions.
    """
    made = []
    for which, entry in kinked.items():
        found = next(_kinked(place, which, generator), None) if entry is None else entry
        slope = _kinked_slope(place, which, found, generator)
        made.append((_note(place, which, found, slope), _outside(slope)))
    if not impossible:
        return [note for note, _ in made]
    # What lies outside shows the fault; all may, by chance, lie between.
    none = not any(outside for _, outside in made)
    said = "; ".join(impossible)
    return [
        replace(note, cause="backward", error=True, evidence=said) if outside or none else note
        for note, outside in made
    ]


def no_subgradients(box: Sandbox, seed: int) -> list[str]:
    """Return a sentence for each function of one's own whose value at a kink is impossible.

    What autograd gives for the whole model at a kink may lie outside the one-sided derivatives of
    the loss with every part right, as the choices of several kinks add up. For a function alone,
    with positive weights on its outputs, it may not.

    Args:
        box: The sandbox, at the point with kinks.
        seed: For directions.
    """
    nodes = graph_nodes(box.loss().grad_fn)
    functions = dict.fromkeys(own_function(node) for node in nodes)
    calls = calls_of(box, [one for one in functions if one is not None])
    said: dict[str, None] = {}
    for function, arguments in calls[:MOST_CALLS]:
        node = node_of(function, arguments, seed)
        if not node.subjects:
            continue
        try:
            place = place_of(node)
        except Exception:  # of a user's backward: it has been reported
            continue
        for sentence in _impossible(place, f"{function.__qualname__}.backward", seed):
            said.setdefault(sentence)
    return list(said)


def _impossible(place: Place, title: str, seed: int) -> Iterator[str]:
    """Yield a sentence for every input that gets a value outside its one-sided derivatives."""
    for which in place.known:
        generator = torch.Generator().manual_seed(seed)
        for entry in _kinked(place, which, generator):
            slope = place.pair(which, entry)
            if _outside(slope):
                yield (
                    f"{title} gives no subgradient for its input {place.box.names[which]} at a"
                    f" kink: {slope.analytic:.6g} is outside [{_low(slope):.6g},"
                    f" {_high(slope):.6g}], between the one-sided derivatives"
                )
                break


def _kinked_slope(place: Place, which: int, entry: int | None, generator: torch.Generator) -> Slope:
    if entry is None:
        return place.ladder(place.direction([which], generator))
    return place.pair(which, entry)


def _note(place: Place, which: int, entry: int | None, slope: Slope) -> Finding:
    shape = place.base[which].shape
    said = (
        "a kink at this very point (ReLU at 0, equal values in a maximum, a margin of 0):"
        f" one-sided derivatives are {slope.left:.6g} and {slope.right:.6g} and stay apart, or"
        " settle on no value, as the step shrinks; at a point nearby the gradient agrees"
    )
    index = None
    if entry is not None:
        index = tuple(int(i) for i in torch.unravel_index(torch.tensor(entry), shape))
    name = place.box.names[which]
    return Finding(name, "kink", said, False, index, slope.analytic, slope.numeric)


def _outside(slope: Slope) -> bool:
    low, high = _low(slope), _high(slope)
    slack = _SLACK * max(abs(low), abs(high)) + slope.allowed
    return not isnan(low + high) and not low - slack <= slope.analytic <= high + slack


def _low(slope: Slope) -> float:
    assert slope.left is not None and slope.right is not None
    return min(slope.left, slope.right)


def _high(slope: Slope) -> float:
    assert slope.left is not None and slope.right is not None
    return max(slope.left, slope.right)


def _kinked(place: Place, which: int, generator: torch.Generator) -> Iterator[int]:
    """Yield entries with a kink, found by halving; none where only several together show one."""
    waiting = [place.entries(which)]
    for _ in range(_MOST_GROUPS):
        if not waiting:
            return
        group = waiting.pop()
        if len(group) == 1:
            if place.pair(which, int(group)).kink:
                yield int(group)
            continue
        waiting += disagreeing_halves(place, which, group, generator)
