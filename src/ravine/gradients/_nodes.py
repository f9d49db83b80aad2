"""User-written `autograd.Function` nodes of a graph, each checked alone where a gradient is wrong.

Parameters before a wrong node all have wrong gradients. Checking each node on the inputs it was
called with tells which one is to blame, and for which of its inputs.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import first_line
from ravine.gradients._jacobian import jacobian_pattern
from ravine.gradients._listening import Silent
from ravine.gradients._overwritten import overwritten
from ravine.gradients._patterns import pattern
from ravine.gradients._place import Place
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._search import wrong_entries

MOST_CALLS = 16  # nodes checked alone; a deeper model repeats its functions


@dataclass
class Node:
    """One call of a function of one's own, as a scalar: its outputs times fixed random numbers.

    Has what `Place` needs of a sandbox.
    """

    function: Any
    arguments: list[Any]
    names: list[str]
    subjects: list[Tensor]
    dtype: torch.dtype
    seed: int

    def outputs(self) -> list[Tensor]:
        """Return the float outputs at what the subjects hold now."""
        torch.manual_seed(self.seed)
        # Copies, so that a function that works in place leaves the subjects alone.
        made = self.function.apply(
            *(one.clone() if isinstance(one, Tensor) else one for one in self.arguments)
        )
        parts = made if isinstance(made, tuple | list) else (made,)
        return [one for one in parts if isinstance(one, Tensor) and one.is_floating_point()]

    def loss(self) -> Tensor:
        """Return the sum of outputs times fixed random numbers."""
        outputs = self.outputs()
        generator = torch.Generator().manual_seed(self.seed)
        total = torch.zeros((), dtype=self.dtype)
        for one in outputs:
            weights = torch.rand(one.shape, generator=generator, dtype=one.dtype) + 0.5
            total = total.to(one.device) + (one * weights.to(one.device)).sum()
        return total

    def value(self) -> Tensor:
        """Return the same without its graph."""
        with torch.no_grad():
            return self.loss().detach()

    def pure(self, parts: Sequence[Tensor]) -> Tensor:
        """Raise: nodes are small and evaluated one by one."""
        raise NotImplementedError("a node is evaluated one by one")


def blame(box: Sandbox, nodes: Sequence[Any], seed: int) -> list[str]:
    """Return a sentence for every node of one's own whose backward is wrong.

    Args:
        box: The sandbox, at the point where gradients are wrong.
        nodes: Of its graph.
        seed: For directions.
    """
    functions = dict.fromkeys(own_function(node) for node in nodes)
    own = [function for function in functions if function is not None]
    calls = calls_of(box, own)
    said = dict.fromkeys(overwritten(box, own))
    for function, arguments in calls[:MOST_CALLS]:
        for sentence in _wrong_inputs(function, arguments, seed):
            said.setdefault(sentence)
    return list(said)


def own_function(node: Any) -> Any:
    """Return the `autograd.Function` class of a graph's node, None for torch's own nodes."""
    function = getattr(type(node), "_forward_cls", None)
    if function is None or function.__module__.startswith("torch."):
        return None
    return function


def calls_of(box: Sandbox, functions: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
    """Return the calls of functions in one evaluation of the loss, with copies of arguments."""
    calls: list[tuple[Any, list[Any]]] = []
    with ExitStack() as stack:
        for function in functions:
            stack.enter_context(_recorded(function, calls))
        box.value()
    return calls


@contextmanager
def _recorded(function: Any, calls: list[tuple[Any, list[Any]]]) -> Iterator[None]:
    """Record the arguments of a function's `forward` while a block runs."""
    original, own = function.forward, "forward" in vars(function)
    skipped = 0 if _has_setup(function) else 1  # the context comes first in the old style

    def forward(*arguments: Any) -> Any:
        kept = [
            one.detach().clone() if isinstance(one, Tensor) else one for one in arguments[skipped:]
        ]
        calls.append((function, kept))
        return original(*arguments)

    function.forward = staticmethod(forward)
    try:
        yield
    finally:
        if own:
            function.forward = staticmethod(original)
        else:
            del function.forward


def _has_setup(function: Any) -> bool:
    return function.setup_context is not torch.autograd.Function.setup_context


def _wrong_inputs(function: Any, arguments: list[Any], seed: int) -> Iterator[str]:
    """Yield a sentence for every input of a call whose gradient is wrong."""
    node = node_of(function, arguments, seed)
    if not node.subjects:
        return
    title = f"{function.__qualname__}.backward"
    try:
        place = place_of(node)
    except Exception as error:  # a user's backward may raise anything
        yield f"{title} raises {first_line(error)}"
        return
    for which, name in enumerate(node.names):
        generator = torch.Generator().manual_seed(seed)
        slope = place.look(place.direction([which], generator))
        if not slope.wrong or slope.kink:
            continue
        if place.gradients[which] is None:
            yield f"{title} gives no gradient for its input {name}, on which the output depends"
            continue
        what = _what(node, place, which, generator)
        yield f"{title} gives a wrong gradient for its input {name}: {what}"


def place_of(node: Node) -> Place:
    """Return a call with its gradients; whatever a user's backward raises comes through."""
    loss = node.loss()
    found = torch.autograd.grad(loss, node.subjects, allow_unused=True)
    given = [None if g is None else g.detach().contiguous() for g in found]
    return Place(node, given, float(loss.detach()))


def _what(node: Node, place: Place, which: int, generator: torch.Generator) -> str:
    """Return in words what is wrong with a node's gradient by one input."""
    said = jacobian_pattern(node, which)
    if said is not None:
        return said
    wrong = wrong_entries(place, which, generator, Silent())
    gradient = place.gradients[which]
    assert gradient is not None
    return pattern(gradient, wrong.sampled, wrong.numeric, {}, wrong.noise)


def node_of(function: Any, arguments: list[Any], seed: int) -> Node:
    """Return a call of a function as something to experiment on."""
    signature = list(inspect.signature(function.forward).parameters)
    names = signature if _has_setup(function) else signature[1:]
    if len(names) != len(arguments):
        names = [str(i) for i in range(len(arguments))]
    chosen = [
        (name, one.contiguous())
        for name, one in zip(names, arguments, strict=True)
        if isinstance(one, Tensor) and one.is_floating_point()
    ]
    subjects = [one.requires_grad_() for _, one in chosen]
    left = iter(subjects)
    put = [
        next(left) if isinstance(one, Tensor) and one.is_floating_point() else one
        for one in arguments
    ]
    dtype = subjects[0].dtype if subjects else torch.float64
    return Node(function, put, [name for name, _ in chosen], subjects, dtype, seed)
