"""The computation graph drawn: forward values and backward gradients on its edges, as SVG."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ravine.core.errors import ModelError, SettingError
from ravine.gradients._graph_drawing import drawing, magnitude
from ravine.gradients._graph_record import Kind, Record, record

MOST_NODES = 150  # more cannot be read


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
            (
                name[e.source],
                name[e.target],
                tuple(e.value.shape),
                magnitude(e.value),
                magnitude(e.gradient),
            )
            for e in self.record.edges
        ]
        return pd.DataFrame(rows, columns=["source", "target", "shape", "value", "gradient"])

    def svg(self) -> str:
        """Return the drawing: values in green above an edge, gradients in red below it."""
        return drawing(self.record)

    def save(self, path: str | Path) -> Path:
        """Write the drawing to a file ending in ``.svg``.

        Raises:
            SettingError: The name ends otherwise, its folder does not exist, or it cannot be
                written.
        """
        path = Path(path)
        if path.suffix != ".svg":
            raise SettingError(f"the graph is drawn as SVG; give a name ending in .svg, got {path}")
        if not path.parent.is_dir():
            raise SettingError(f"folder {path.parent} does not exist; make it first")
        try:
            path.write_text(self.svg(), encoding="utf-8")
        except OSError as error:
            raise SettingError(
                f"{path} cannot be written ({error.strerror}); give another name"
            ) from error
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
