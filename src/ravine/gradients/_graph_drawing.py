"""A recorded computation as SVG: values above its edges, gradients below them.

Between two columns of nodes every edge runs level for a while, on a lane of its own, where its
numbers stand: so no line crosses a number, and no number lies on another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from torch import Tensor

from ravine.gradients._graph_layout import Layout, layered
from ravine.gradients._graph_record import Edge, Node, Record

_ROW, _MARGIN, _LEGEND = 62.0, 24.0, 44.0
_NODE_HEIGHT, _LETTER, _SMALL_LETTER = 34.0, 7.4, 6.6
_LEAVING, _ARRIVING = 26.0, 52.0  # room in which edges bend, before and after their numbers
_LANE, _THIN_LANE = 42.0, 14.0  # heights of an edge with its numbers, and of one passing by
_FEW = 3  # numbers written out; of more the shape and the norm
_FILLS = {
    "input": "#d8e9f8",
    "weight": "#ffe5b5",
    "constant": "#ececec",
    "operation": "#ffffff",
    "result": "#d9ead3",
}
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222 }
.page { fill: #fff }
.node { stroke: #555; stroke-width: 1.2 }
.edge { fill: none; stroke: #777; stroke-width: 1.3 }
.value { fill: #1a6e1a; font-size: 12px }
.gradient { fill: #b01515; font-size: 12px }
"""
_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
    ' markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>'
)


@dataclass(frozen=True)
class _Plan:
    """Where everything stands, in pixels.

    Args:
        layout: Columns and rows.
        left: Of each column, the left end.
        right: Of each column, the right end; numbers stand between two columns.
        lanes: Height of each edge's level pieces, one per gap it crosses, by edge number.
        top: Height of row 0.
        height: Of the whole drawing.
    """

    layout: Layout
    left: Sequence[float]
    right: Sequence[float]
    lanes: Mapping[int, Sequence[float]]
    top: float
    height: float

    def place(self, node: int) -> tuple[float, float]:
        """Return the middle of a node."""
        column = self.layout.column[node]
        return (self.left[column] + self.right[column]) / 2, self.y(self.layout.row[node])

    def y(self, row: float) -> float:
        """Return the height of a row."""
        return self.top + _ROW * row


def drawing(record: Record) -> str:
    """Return a computation as SVG."""
    plan = _plan(record)
    width = plan.right[-1] + _MARGIN
    lines = [_line(i, edge, record.nodes, plan) for i, edge in enumerate(record.edges)]
    labels = [_label(i, edge, plan) for i, edge in enumerate(record.edges)]
    size = f'width="{width:.0f}" height="{plan.height:.0f}"'
    return "\n".join(
        (
            '<svg xmlns="http://www.w3.org/2000/svg" role="img"'
            f' viewBox="0 0 {width:.0f} {plan.height:.0f}" {size}>',
            "<title>Computation graph</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="page" {size}/>',
            _ARROW,
            *lines,
            *(_box(node, plan) for node in record.nodes),
            *labels,
            _legend(plan.height),
            "</svg>\n",
        )
    )


def magnitude(tensor: Tensor | None) -> float:
    """Return a scalar's value, the Euclidean norm of anything larger, NaN of nothing."""
    if tensor is None:
        return float("nan")
    return float(tensor.detach() if tensor.numel() == 1 else tensor.detach().norm())


def _plan(record: Record) -> _Plan:
    edges = [(edge.source, edge.target) for edge in record.edges]
    layout = layered([node.number for node in record.nodes], edges)
    left, right = _columns(record, layout)
    lanes = _lanes(record.edges, layout)
    heights = [y for some in lanes.values() for y in some]
    heights += [_ROW * row for row in layout.row.values()]
    top = _MARGIN + _LANE / 2 - min(heights)
    return _Plan(
        layout,
        left,
        right,
        {i: [top + y for y in some] for i, some in lanes.items()},
        top,
        top + max(heights) + _LANE / 2 + _LEGEND,
    )


def _columns(record: Record, layout: Layout) -> tuple[list[float], list[float]]:
    """Return the left and right ends of columns: as wide as their nodes, numbers between them."""
    count = max(layout.column.values()) + 1
    wide, gap = [0.0] * count, [0.0] * count
    for node in record.nodes:
        column = layout.column[node.number]
        wide[column] = max(wide[column], _width(node))
    for edge in record.edges:
        before = layout.column[edge.target] - 1
        gap[before] = max(gap[before], _LEAVING + _label_width(edge) + _ARRIVING)
    left, right = [_MARGIN], [_MARGIN + wide[0]]
    for column in range(1, count):
        left.append(right[-1] + gap[column - 1])
        right.append(left[-1] + wide[column])
    return left, right


def _lanes(edges: Sequence[Edge], layout: Layout) -> dict[int, list[float]]:
    """Return the heights of every edge's level pieces, in each gap apart from those of others."""
    pieces: dict[int, list[tuple[float, float, int, float]]] = {}
    for i, edge in enumerate(edges):
        rows = [layout.row[edge.source], *layout.route[i], layout.row[edge.target]]
        first, last = layout.column[edge.source], layout.column[edge.target] - 1
        for gap in range(first, last + 1):
            here, there = rows[gap - first : gap - first + 2]
            pieces.setdefault(gap, []).append(
                (here, there, i, _LANE if gap == last else _THIN_LANE)
            )
    lanes: dict[int, list[float]] = {i: [] for i in range(len(edges))}
    for gap in sorted(pieces):
        some = sorted(pieces[gap])
        heights = _apart([_ROW * here for here, *_ in some], [tall for *_, tall in some])
        for (*_, i, _), height in zip(some, heights, strict=True):
            lanes[i].append(height)
    return lanes


def _apart(wanted: Sequence[float], tall: Sequence[float]) -> list[float]:
    """Return places as near to those wanted, in their order, as things of these heights can be.

    >>> _apart([0.0, 0.0, 100.0], [40.0, 40.0, 40.0])
    [-20.0, 20.0, 100.0]
    """
    offsets, total = [], 0.0  # of each thing's middle, where all touch
    for height in tall:
        offsets.append(total + height / 2)
        total += height
    # Pool neighbours that are out of order once the room between them is taken out.
    pools: list[list[float]] = []
    for place, offset in zip(wanted, offsets, strict=True):
        pools.append([place - offset])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    bases = [_mean(pool) for pool in pools for _ in pool]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _line(i: int, edge: Edge, nodes: Sequence[Node], plan: _Plan) -> str:
    width = {node.number: _width(node) for node in nodes}
    (x, y), (end, end_y) = plan.place(edge.source), plan.place(edge.target)
    stops = [plan.y(row) for row in plan.layout.route[i]]
    first = plan.layout.column[edge.source]
    x += width[edge.source] / 2
    path = f"M{x:.1f},{y:.1f} H{plan.right[first]:.1f}"
    x = plan.right[first]
    for gap, lane in enumerate(plan.lanes[i], start=first):
        level, bend = plan.right[gap] + _LEAVING, plan.left[gap + 1] - _ARRIVING
        last = gap == first + len(stops)
        arrival = end - width[edge.target] / 2 - 5 if last else plan.left[gap + 1]
        height = end_y if last else stops[gap - first]
        path += _bend(x, y, level, lane) + f" H{bend:.1f}" + _bend(bend, lane, arrival, height)
        if not last:
            x, y = plan.right[gap + 1], height
            path += f" H{x:.1f}"
    return f'<path class="edge" d="{path}" marker-end="url(#arrow)"/>'


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    half = (to_x - x) / 2
    return f" C{x + half:.1f},{y:.1f} {to_x - half:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}"


def _label(i: int, edge: Edge, plan: _Plan) -> str:
    after = plan.layout.column[edge.target]
    x = (plan.right[after - 1] + _LEAVING + plan.left[after] - _ARRIVING) / 2
    y = plan.lanes[i][-1]
    above, below = _texts(edge)
    return (
        f'<text class="value" text-anchor="middle" x="{x:.1f}" y="{y - 5:.1f}">{escape(above)}'
        f'</text><text class="gradient" text-anchor="middle" x="{x:.1f}" y="{y + 14:.1f}">'
        f"{escape(below)}</text>"
    )


def _texts(edge: Edge) -> tuple[str, str]:
    """Return what stands above an edge and below it."""
    return _text(edge.value) + _shape(edge.value), _text(edge.gradient)


def _text(tensor: Tensor | None) -> str:
    if tensor is None:
        return "no gradient"
    if tensor.numel() == 1:
        return f"{magnitude(tensor):.4g}"
    if tensor.numel() <= _FEW and tensor.ndim == 1:
        return "[" + ", ".join(f"{x:.3g}" for x in tensor.tolist()) + "]"
    return f"‖·‖ = {magnitude(tensor):.3g}"


def _shape(tensor: Tensor) -> str:
    return f" [{'×'.join(map(str, tensor.shape))}]" if tensor.numel() > 1 else ""


def _label_width(edge: Edge) -> float:
    return _SMALL_LETTER * max(map(len, _texts(edge)))


def _width(node: Node) -> float:
    return max(44.0, _LETTER * len(node.name) + 18)


def _box(node: Node, plan: _Plan) -> str:
    (x, y), width = plan.place(node.number), _width(node)
    radius = 6.0 if node.kind == "operation" else _NODE_HEIGHT / 2
    return (
        f'<rect class="node" fill="{_FILLS[node.kind]}" x="{x - width / 2:.1f}"'
        f' y="{y - _NODE_HEIGHT / 2:.1f}" width="{width:.1f}" height="{_NODE_HEIGHT:g}"'
        f' rx="{radius:g}"/><text text-anchor="middle" x="{x:.1f}" y="{y + 4.5:.1f}">'
        f"{escape(node.name)}</text>"
    )


def _legend(height: float) -> str:
    return (
        f'<text class="value" x="{_MARGIN:g}" y="{height - 14:.0f}">value</text>'
        f'<text class="gradient" x="{_MARGIN + 46:g}" y="{height - 14:.0f}">'
        "gradient of the result (‖·‖: Euclidean norm)</text>"
    )
