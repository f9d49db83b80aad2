"""Places for the nodes of a graph: layers from left to right, few crossings.

Source: Sugiyama, Tagawa & Toda 1981, "Methods for visual understanding of hierarchical system
structures": layers by longest path, order within a layer by barycentres.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 8

Pair = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Where things stand, in columns and rows.

    Args:
        column: Of each node.
        row: Of each node, fractions allowed.
        route: Rows that an edge passes in the columns between its ends, by edge number.
    """

    column: Mapping[int, int]
    row: Mapping[int, float]
    route: Mapping[int, Sequence[float]]


def layered(nodes: Sequence[int], edges: Sequence[Pair]) -> Layout:
    """Return places for the nodes of a graph without cycles.

    Args:
        nodes: Numbers, each node after those it depends on or in any order.
        edges: Source and target of each edge.

    >>> layered([0, 1, 2], [(0, 2), (1, 2)]).column
    {0: 0, 1: 0, 2: 1}
    """
    column = _columns(nodes, edges)
    links, passed = _with_stops(edges, column)
    order = _ordered(column, links)
    row = {node: y for stack in order for node, y in _centred(stack, order).items()}
    route = {i: [row[stop] for stop in stops] for i, stops in passed.items()}
    return Layout({n: column[n] for n in nodes}, {n: row[n] for n in nodes}, route)


def _columns(nodes: Sequence[int], edges: Sequence[Pair]) -> dict[int, int]:
    column = dict.fromkeys(nodes, 0)
    for _ in nodes:  # longest path: at most one pass per node
        changed = False
        for a, b in edges:
            if column[b] < column[a] + 1:
                column[b], changed = column[a] + 1, True
        if not changed:
            break
    # What nothing leads to stands just before where it is used.
    entered = {b for _, b in edges}
    for node in nodes:
        targets = [column[b] for a, b in edges if a == node]
        if node not in entered and targets:
            column[node] = min(targets) - 1
    return column


def _with_stops(
    edges: Sequence[Pair], column: dict[int, int]
) -> tuple[list[Pair], dict[int, list[int]]]:
    """Cut long edges into pieces of one column each, with stops that take a row like a node."""
    links: list[Pair] = []
    passed: dict[int, list[int]] = {}
    free = max(column, default=-1) + 1
    for i, (a, b) in enumerate(edges):
        passed[i], last = [], a
        for between in range(column[a] + 1, column[b]):
            column[free] = between
            passed[i].append(free)
            links.append((last, free))
            last, free = free, free + 1
        links.append((last, b))
    return links, passed


def _ordered(column: Mapping[int, int], links: Sequence[Pair]) -> list[list[int]]:
    """Return the columns, each in an order with few crossings."""
    stacks: list[list[int]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for node, at in column.items():
        stacks[at].append(node)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        place = {node: i - len(s) / 2 for s in stacks for i, node in enumerate(s)}
        for stack in stacks if forward else reversed(stacks):
            centres = {n: _barycentre(n, links, place, forward=forward) for n in stack}
            stack.sort(key=lambda n, at=centres: at[n])  # type: ignore[misc]
            place |= {node: i - len(stack) / 2 for i, node in enumerate(stack)}
    return stacks


def _barycentre(
    node: int, links: Sequence[Pair], place: Mapping[int, float], *, forward: bool
) -> float:
    near = [place[a] for a, b in links if b == node] if forward else []
    near = near or [place[b] for a, b in links if a == node]
    return sum(near) / len(near) if near else place[node]


def _centred(stack: Sequence[int], stacks: Sequence[Sequence[int]]) -> dict[int, float]:
    tallest = max(map(len, stacks))
    return {node: i + (tallest - len(stack)) / 2 for i, node in enumerate(stack)}
