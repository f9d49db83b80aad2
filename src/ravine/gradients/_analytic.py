"""Autograd's gradients of a sandbox, and what a backward that raises says."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import first_line
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox

_SHAPES = re.compile(r"got \[([\d, ]*)\] but expected shape compatible with \[([\d, ]*)\]")


@dataclass(frozen=True)
class Analytic:
    """What autograd gives: the loss, a gradient or None per subject, and whether it raised."""

    loss: float
    gradients: list[Tensor | None]
    nodes: list[Any]
    raised: str | None = None


def analytic_gradients(box: Sandbox) -> Analytic:
    """Return autograd's gradients of all subjects, where they stand."""
    plain = box.value()  # before the graph, which may have saved what an evaluation writes
    return analytic_of(box, plain, box.loss())


def analytic_of(box: Sandbox, plain: Tensor, loss: Tensor) -> Analytic:
    """Return autograd's gradients of a loss by all subjects.

    A backward that raises is part of the answer: the gradients it can still give are returned
    with its message.

    Args:
        box: The sandbox.
        plain: Its loss, evaluated without a graph.
        loss: The same with its graph, which is used up.
    """
    if not _same(plain, loss.detach()):  # as of a penalty where gradients are recorded
        box.takes_gradients = True
    nodes = list(graph_nodes(loss.grad_fn))
    if not loss.requires_grad:
        return Analytic(float(loss), [None] * len(box.subjects), nodes)
    try:
        return Analytic(float(loss.detach()), gradients_of(loss, box.subjects, box.loss), nodes)
    except Exception as error:  # a user's backward may raise anything
        return Analytic(float(loss.detach()), _singly(box), nodes, _message(error))


def gradients_of(
    loss: Tensor, subjects: Sequence[Tensor], again: Callable[[], Tensor]
) -> list[Tensor | None]:
    """Return autograd's gradients, None where it has none.

    Args:
        loss: With its graph, which is used up.
        subjects: What gradients are taken by.
        again: Gives the loss anew: reentrant checkpoints refuse `torch.autograd.grad`, and so
            gradients are accumulated in its place.
    """
    found: Sequence[Tensor | None]
    try:
        found = torch.autograd.grad(loss, subjects, allow_unused=True)
    except RuntimeError as error:
        if "use_reentrant=True" not in str(error):
            raise
        found = _accumulated(again(), subjects)
    return [_detached(one) for one in found]


def _accumulated(loss: Tensor, subjects: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Return what `backward` adds to the subjects; every leaf is left as it was."""
    leaves = [getattr(node, "variable", None) for node in graph_nodes(loss.grad_fn)]
    reached = {id(one): one for one in (*leaves, *subjects) if one is not None}.values()
    kept = [one.grad for one in reached]
    for one in reached:
        one.grad = None
    try:
        loss.backward()
        return tuple(one.grad for one in subjects)
    finally:
        for one, gradient in zip(reached, kept, strict=True):
            one.grad = gradient


def _same(plain: Tensor, loss: Tensor) -> bool:
    near = 1e3 * torch.finfo(loss.dtype).eps  # fused operations round otherwise
    return torch.allclose(plain, loss, rtol=near, atol=0.0, equal_nan=True)


def graph_nodes(root: Any) -> Iterator[Any]:
    """Yield every node of an autograd graph once."""
    seen, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(following for following, _ in node.next_functions)


def raising_backward(box: Sandbox, analytic: Analytic) -> Finding:
    """Return the finding for a backward that raises: which tensors it cuts off, and both shapes."""
    lost = [n for n, g in zip(box.names, analytic.gradients, strict=True) if g is None]
    raised = str(analytic.raised)
    shapes = _SHAPES.search(raised)
    evidence = f"the backward pass raises: {raised}."
    parameter = next(iter(lost), None)
    if shapes:
        given, wanted = (tuple(map(int, re.findall(r"\d+", text))) for text in shapes.groups())
        evidence = (
            f"a gradient has shape {given}, its input has shape {wanted}; a gradient has the shape"
            f" of its tensor. {raised}."
        )
        same = [n for n in lost if tuple(box.subjects[box.names.index(n)].shape) == wanted]
        parameter = next(iter(same), parameter)
    elif "modified by an inplace operation" in raised:
        evidence = f"a tensor saved for the backward pass is overwritten in place. {raised}."
    if lost:
        evidence += f" No gradient for {', '.join(lost)}"
    return Finding(parameter, "backward", evidence, error=True)


def _singly(box: Sandbox) -> list[Tensor | None]:
    """Return the gradients that can be had one by one, None for the others."""
    found: list[Tensor | None] = []
    for subject in box.subjects:
        try:
            one = gradients_of(box.loss(), [subject], box.loss)[0]
        except Exception:  # the message of the first one is reported
            one = None
        found.append(one)
    return found


def _detached(gradient: Tensor | None) -> Tensor | None:
    if gradient is None:
        return None
    gradient = gradient.to_dense() if gradient.is_sparse else gradient
    return gradient.detach().contiguous()


def _message(error: BaseException) -> str:
    return first_line(error).rstrip(".")
