"""The computation graph drawn: forward values and backward gradients on its edges, as SVG."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ravine.core.errors import ModelError, SettingError
from ravine.gradients._graph_layout import Layout, layered
from ravine.gradients._graph_record import Edge, Kind, Node, Record, record

MOST_NODES = 150  # more cannot be read
_COLUMN, _ROW, _MARGIN = 250, 84, 28
_NODE_HEIGHT, _LETTER = 34, 7.4
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
.back { fill: #fff; fill-opacity: 0.85 }
"""


@dataclass(frozen=True, eq=False)
class Graph:
    """A computation graph with its values and gradients.

    Args:
        record: What was recorded.
    """

    record: Record

    def frame(self) -> pd.DataFrame:
        """Return one row per edge: ``source, target, shape, value, gradient``.

        Value and gradient are numbers for scalars, Euclidean norms otherwise; NaN where nothing
        flows back.
        """
        name = {node.number: node.name for node in self.record.nodes}
        rows = [
            (name[e.source], name[e.target], tuple(e.value.shape), _one(e.value), _one(e.gradient))
            for e in self.record.edges
        ]
        return pd.DataFrame(rows, columns=["source", "target", "shape", "value", "gradient"])

    def svg(self) -> str:
        """Return the drawing: values in green above an edge, gradients in red below it."""
        nodes, edges = self.record.nodes, self.record.edges
        layout = layered([n.number for n in nodes], [(e.source, e.target) for e in edges])
        width = 2 * _MARGIN + _COLUMN * max(layout.column.values()) + 150
        rows = [*layout.row.values(), *(y for r in layout.route.values() for y in r)]
        height = 2 * _MARGIN + _ROW * (max(rows) + 1) + 24
        lines = [_line(i, edge, nodes, layout) for i, edge in enumerate(edges)]
        labels = [_label(i, edge, nodes, layout) for i, edge in enumerate(edges)]
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
                f' width="{width:g}" height="{height:g}" role="img">',
                "<title>Computation graph</title>",
                f"<style>{_STYLE}</style>",
                f'<rect class="page" width="{width:g}" height="{height:g}"/>',
                _ARROW,
                *lines,
                *(_box(node, layout) for node in nodes),
                *labels,
                _legend(height),
                "</svg>\n",
            )
        )

    def save(self, path: str | Path) -> Path:
        """Write the drawing to a file ending in ``.svg``.

        Raises:
            SettingError: The name ends otherwise, or its folder does not exist.
        """
        path = Path(path)
        if path.suffix != ".svg":
            raise SettingError(f"the graph is drawn as SVG; give a name ending in .svg, got {path}")
        if not path.parent.is_dir():
            raise SettingError(f"folder {path.parent} does not exist; make it first")
        path.write_text(self.svg(), encoding="utf-8")
        return path


def expression_graph(function: Callable[..., Tensor], **inputs: Tensor | float) -> Graph:
    """Record an expression and its backward pass.

    Args:
        function: Called with the inputs by name; returns a scalar.
        inputs: Tensors or numbers. Gradients are taken for those that are numbers or require them.

    Raises:
        ModelError: The result is no scalar, depends on no input, or there are too many nodes.

    >>> graph = expression_graph(lambda x, y, z: (x + y) * z, x=-2.0, y=5.0, z=-4.0)
    >>> graph.frame()[["source", "target", "value", "gradient"]].values.tolist()
    [['x', 'add', -2.0, -4.0], ['y', 'add', 5.0, -4.0], ['add', 'mul', 3.0, -4.0],
     ['z', 'mul', -4.0, 3.0], ['mul', 'result', -12.0, 1.0]]
    """
    tensors = {
        name: value if isinstance(value, Tensor) else torch.tensor(float(value), requires_grad=True)
        for name, value in inputs.items()
    }
    named: dict[str, tuple[Kind, Tensor]] = {n: ("input", t) for n, t in tensors.items()}
    return _graph(record(lambda: function(**tensors), named))


def model_graph(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], batch: tuple[Any, Any]
) -> Graph:
    """Record a model's loss on a batch and its backward pass; one node per torch function.

    An own ``torch.autograd.Function`` is one node. Gradients of parameters are left alone.

    Args:
        model: The module.
        loss: ``loss(outputs, targets)``, a scalar.
        batch: Inputs and targets; inputs are a tensor, or a tuple of the model's arguments.

    Raises:
        ModelError: The loss is no scalar, no weight trains, or there are too many nodes.
    """
    inputs, targets = batch
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    named: dict[str, tuple[Kind, Tensor]] = {
        f"input {i}" if len(arguments) > 1 else "input": ("input", tensor)
        for i, tensor in enumerate(arguments)
    }
    named |= {name: ("weight", p) for name, p in model.named_parameters()}
    # BatchNorm writes into its buffers; a drawing leaves the model as it is.
    buffers = {name: t.detach().clone() for name, t in model.named_buffers()}
    named |= {name: ("constant", t) for name, t in buffers.items()}
    if isinstance(targets, Tensor) and targets.dtype.is_floating_point:
        named["targets"] = ("input", targets)
    outputs = partial(functional_call, model, buffers, arguments, tie_weights=False)
    return _graph(record(lambda: loss(outputs(), targets), named))


def _graph(found: Record) -> Graph:
    used = {e.source for e in found.edges} | {e.target for e in found.edges}
    nodes = [node for node in found.nodes if node.number in used]
    if len(nodes) > MOST_NODES:
        raise ModelError(
            f"the graph has {len(nodes)} nodes, more than the {MOST_NODES} that can be read;"
            " draw a part of the model, or a smaller one"
        )
    return Graph(Record(nodes, found.edges))


def _one(tensor: Tensor | None) -> float:
    if tensor is None:
        return float("nan")
    return float(tensor.detach() if tensor.numel() == 1 else tensor.detach().norm())


def _text(tensor: Tensor | None) -> str:
    if tensor is None:
        return "no gradient"
    if tensor.numel() == 1:
        return f"{_one(tensor):.4g}"
    if tensor.numel() <= _FEW and tensor.ndim == 1:
        return "[" + ", ".join(f"{x:.3g}" for x in tensor.tolist()) + "]"
    return f"‖·‖ = {_one(tensor):.3g}"


def _shape(tensor: Tensor) -> str:
    return f" [{'×'.join(map(str, tensor.shape))}]" if tensor.numel() > 1 else ""


def _place(number: int, layout: Layout) -> tuple[float, float]:
    x = _MARGIN + 75 + _COLUMN * layout.column[number]
    return x, _MARGIN + _ROW * (layout.row[number] + 0.5)


def _width(node: Node) -> float:
    return max(44.0, _LETTER * len(node.name) + 18)


def _points(i: int, edge: Edge, nodes: list[Node], layout: Layout) -> list[tuple[float, float]]:
    width = {node.number: _width(node) for node in nodes}
    (x, y), (to_x, to_y) = _place(edge.source, layout), _place(edge.target, layout)
    first = layout.column[edge.source] + 1
    stops = [
        (_MARGIN + 75 + _COLUMN * (first + k), _MARGIN + _ROW * (row + 0.5))
        for k, row in enumerate(layout.route[i])
    ]
    start, end = (x + width[edge.source] / 2, y), (to_x - width[edge.target] / 2 - 5, to_y)
    return [start, *stops, end]


def _line(i: int, edge: Edge, nodes: list[Node], layout: Layout) -> str:
    points = _points(i, edge, nodes, layout)
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x, y), (u, v) in pairwise(points):
        bend = (u - x) / 2
        path += f" C{x + bend:.1f},{y:.1f} {u - bend:.1f},{v:.1f} {u:.1f},{v:.1f}"
    return f'<path class="edge" d="{path}" marker-end="url(#arrow)"/>'


def _label(i: int, edge: Edge, nodes: list[Node], layout: Layout) -> str:
    # On the last piece: edges that leave one node together have parted there.
    (x, y), (u, v) = _points(i, edge, nodes, layout)[-2:]
    share = 0.5 if abs(v - y) < 1 else 0.42
    at, height = x + share * (u - x), y + share * (v - y)
    value, back = _text(edge.value) + _shape(edge.value), _text(edge.gradient)
    wide = 6.4 * max(len(value), len(back)) + 6
    return (
        f'<rect class="back" x="{at - wide / 2:.1f}" y="{height - 19:.1f}" width="{wide:.1f}"'
        f' height="16"/><rect class="back" x="{at - wide / 2:.1f}" y="{height + 4:.1f}"'
        f' width="{wide:.1f}" height="16"/>'
        f'<text class="value" text-anchor="middle" x="{at:.1f}" y="{height - 6:.1f}">'
        f"{escape(value)}</text>"
        f'<text class="gradient" text-anchor="middle" x="{at:.1f}" y="{height + 16:.1f}">'
        f"{escape(back)}</text>"
    )


def _box(node: Node, layout: Layout) -> str:
    (x, y), width = _place(node.number, layout), _width(node)
    radius = 6 if node.kind == "operation" else _NODE_HEIGHT / 2
    return (
        f'<rect class="node" fill="{_FILLS[node.kind]}" x="{x - width / 2:.1f}"'
        f' y="{y - _NODE_HEIGHT / 2:.1f}" width="{width:.1f}" height="{_NODE_HEIGHT}"'
        f' rx="{radius:g}"/><text text-anchor="middle" x="{x:.1f}" y="{y + 4.5:.1f}">'
        f"{escape(node.name)}</text>"
    )


def _legend(height: float) -> str:
    return (
        f'<text class="value" x="{_MARGIN}" y="{height - 14:.0f}">value</text>'
        f'<text class="gradient" x="{_MARGIN + 46}" y="{height - 14:.0f}">'
        "gradient of the result (‖·‖: Euclidean norm)</text>"
    )


_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
    ' markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>'
)
