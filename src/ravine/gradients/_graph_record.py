"""Recording a computation: its operations, and values and gradients on the way between them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from ravine.core.errors import ModelError, first_line

Kind = Literal["input", "weight", "constant", "operation", "result"]


@dataclass
class Node:
    """A tensor that was given, or an operation."""

    number: int
    kind: Kind
    name: str


@dataclass
class Edge:
    """A tensor on its way from one node to another.

    Args:
        source: Number of the node it comes from.
        target: Number of the node that takes it.
        value: The tensor at that time.
        gradient: Of the result in this edge alone: where a tensor is used twice, the gradients of
            its edges add up to its own. None where nothing flows back.
    """

    source: int
    target: int
    value: Tensor
    gradient: Tensor | None = None


@dataclass
class Record:
    """A computation, its nodes in the order in which they ran."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def record(function: Callable[[], Tensor], named: Mapping[str, tuple[Kind, Tensor]]) -> Record:
    """Run a computation and its backward pass, and return what happened.

    Args:
        function: Returns a scalar.
        named: Kind and tensor by name: what the computation starts from.

    Raises:
        ModelError: The result is no scalar, or does not depend on a tensor with a gradient.
    """
    recorder = _Recorder(named)
    with torch.enable_grad(), recorder:
        result = function()
    if not isinstance(result, Tensor) or result.numel() != 1:
        raise ModelError("the computation must return a scalar tensor; take its mean or sum")
    if not result.requires_grad:
        raise ModelError("the result must depend on a tensor with requires_grad, got none")
    recorder.finish(result)
    return recorder.record


class _Recorder(TorchFunctionMode):
    """Sees every torch function and passes aliases of the tensors on, one per use."""

    def __init__(self, named: Mapping[str, tuple[Kind, Tensor]]) -> None:
        super().__init__()
        self.record = Record()
        self._made: dict[int, int] = {}  # node by the identity of its tensor
        self._kept: list[Tensor] = []  # identities are unique while tensors live
        self._watched: list[tuple[Edge, GradientEdge]] = []
        for name, (kind, tensor) in named.items():
            self._own(self._node(kind, name), tensor)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = [t for t in _tensors((args, kwargs)) if t.dtype.is_floating_point]
        # Without gradients run the insides of a user's own autograd function: one node, not many.
        if not given or _is_question(func) or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        # What writes into a tensor must get the tensor itself.
        edges, aliases = self._uses(given, alias=not _in_place(_name(func)))
        args, kwargs = _replaced((args, kwargs), aliases)
        result = func(*args, **kwargs)
        made = [t for t in _tensors(result) if t.dtype.is_floating_point]
        if made:
            self._operation(_shown(_name(func), args), edges, made)
        return result

    def finish(self, result: Tensor) -> None:
        """Draw the result, and compute every edge's gradient."""
        edges, aliases = self._uses([result])
        last = self._node("result", "result")
        self._connect(edges, last)
        end = aliases[id(result)][0]
        points = [point for _, point in self._watched]
        try:
            found = torch.autograd.grad(end.sum(), points, allow_unused=True)
        except RuntimeError as error:
            raise ModelError(f"the backward pass fails: {first_line(error)}") from error
        for (edge, _), gradient in zip(self._watched, found, strict=True):
            edge.gradient = gradient

    def _node(self, kind: Kind, name: str) -> int:
        self.record.nodes.append(Node(len(self.record.nodes), kind, name))
        return len(self.record.nodes) - 1

    def _own(self, node: int, tensor: Tensor) -> None:
        self._made[id(tensor)] = node
        self._kept.append(tensor)

    def _uses(
        self, given: Sequence[Tensor], *, alias: bool = True
    ) -> tuple[list[Edge], dict[int, list[Tensor]]]:
        """Return an edge per tensor, with its alias: the gradient there is this use's alone."""
        edges: list[Edge] = []
        aliases: dict[int, list[Tensor]] = {}
        for tensor in given:
            edge = Edge(self._source(tensor), -1, tensor.detach().clone())
            edges.append(edge)
            if tensor.requires_grad:
                used = tensor.view_as(tensor) if alias else tensor
                aliases.setdefault(id(tensor), []).append(used)
                self._kept += [tensor, used]
                self._watched.append((edge, get_gradient_edge(used)))
        return edges, aliases

    def _source(self, tensor: Tensor) -> int:
        known = self._made.get(id(tensor))
        if known is not None:
            return known
        if tensor.grad_fn is not None:
            return self._unseen(tensor.grad_fn, tensor)
        node = self._node("constant", "constant")
        self._own(node, tensor)
        return node

    def _unseen(self, function: Any, tensor: Tensor) -> int:
        """Return the node of what ran unseen: an autograd function of the user's own."""
        parents = [(i, f) for i, (f, _) in enumerate(function.next_functions) if f is not None]
        edges = [(i, self._edge_from(f)) for i, f in parents]
        node = self._node("operation", re.sub(r"Backward\d*$", "", function.name()))
        self._own(node, tensor)
        for _, edge in edges:
            edge.target = node
            self.record.edges.append(edge)

        def note(gradients: Sequence[Tensor | None], _: Any) -> None:
            for i, edge in edges:
                edge.gradient = gradients[i]

        function.register_hook(note)
        return node

    def _edge_from(self, function: Any) -> Edge:
        leaf = getattr(function, "variable", None)
        tensor = leaf if leaf is not None else self._output_of(function)
        # Autograd runs only what leads to a tensor that is asked for.
        self._watched.append((Edge(-1, -1, tensor), get_gradient_edge(tensor)))
        return Edge(self._source(tensor), -1, tensor.detach().clone())

    def _output_of(self, function: Any) -> Tensor:
        found = next((t for t in self._kept if t.grad_fn is function), None)
        if found is None:
            raise ModelError(
                f"{function.name()} cannot be drawn: it runs inside another autograd function"
            )
        return found

    def _operation(self, name: str, edges: Sequence[Edge], made: Sequence[Tensor]) -> None:
        node = self._node("operation", name)
        self._connect(edges, node)
        for tensor in made:
            self._own(node, tensor)

    def _connect(self, edges: Sequence[Edge], target: int) -> None:
        for edge in edges:
            edge.target = target
            self.record.edges.append(edge)


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _shown(name: str, args: Sequence[Any]) -> str:
    """Return an operation as it is drawn: ``__rdiv__`` of 1 and a tensor is ``1 /``."""
    bare = name.strip("_")
    plain = bare[1:] if name.startswith("__") and bare in _REVERSED else bare
    numbers = [one for one in args[:2] if type(one) in (int, float)]
    if plain not in _SIGNS or len(numbers) != 1:
        return plain
    number, sign = f"{numbers[0]:g}", _SIGNS[plain]
    first = bare in ("rsub", "rdiv", "rtruediv", "rpow") or not isinstance(args[0], Tensor)
    return f"{number} {sign}" if first and sign not in "+*" else f"{sign} {number}"


def _in_place(name: str) -> bool:
    """Whether an operation writes into its first argument: ``add_``, ``__iadd__``."""
    if name.startswith("__"):
        return name.startswith("__i") and name not in ("__invert__", "__index__", "__init__")
    return name.endswith("_")


def _is_question(function: Any) -> bool:
    """Whether a torch function only asks about a tensor, or is one of the recorder's own."""
    return _name(function) in _QUESTIONS


_QUESTIONS = frozenset(
    ("__get__", "__set__", "__len__", "__repr__", "__format__", "__bool__", "__float__", "size")
) | frozenset(
    ("dim", "numel", "item", "detach", "is_floating_point", "stride", "type", "backward", "shape")
)
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "truediv": "/", "pow": "**"}
_REVERSED = frozenset(
    ("radd", "rsub", "rmul", "rdiv", "rtruediv", "rpow", "rmatmul", "iadd", "isub", "imul")
) | {"itruediv"}


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one)


def _replaced(value: Any, aliases: Mapping[int, list[Tensor]]) -> Any:
    """Return arguments with their aliases, the next one at every use of a tensor."""
    if isinstance(value, Tensor):
        waiting = aliases.get(id(value))
        return waiting.pop(0) if waiting else value
    if type(value) in (tuple, list):
        return type(value)(_replaced(one, aliases) for one in value)
    if isinstance(value, dict):
        return {key: _replaced(one, aliases) for key, one in value.items()}
    return value
