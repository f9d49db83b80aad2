"""Autograd's gradients of a sandbox, and where in the model they fail or stop being finite."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ravine.core.errors import first_line
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._watch import Watch

_SHAPES = re.compile(r"got \[([\d, ]*)\] but expected shape compatible with \[([\d, ]*)\]")


@dataclass(frozen=True)
class Analytic:
    """What autograd gives: the loss, a gradient or None per subject, and whether it raised."""

    loss: float
    gradients: list[Tensor | None]
    nodes: list[Any]
    raised: str | None = None


def analytic_gradients(box: Sandbox) -> Analytic:
    """Return autograd's gradients of all subjects.

    A backward that raises is part of the answer: the gradients it can still give are returned
    with its message.
    """
    plain = box.value()  # before the graph, which may have saved what an evaluation writes
    loss = box.loss()
    if not _same(plain, loss.detach()):  # as of a penalty where gradients are recorded
        box.takes_gradients = True
    nodes = list(graph_nodes(loss.grad_fn))
    if not loss.requires_grad:
        return Analytic(float(loss), [None] * len(box.subjects), nodes)
    try:
        found = torch.autograd.grad(loss, box.subjects, allow_unused=True)
    except Exception as error:  # a user's backward may raise anything
        return Analytic(float(loss.detach()), _singly(box), nodes, _message(error))
    return Analytic(float(loss.detach()), [_detached(one) for one in found], nodes)


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


def not_finite(box: Sandbox, analytic: Analytic, place: str) -> Finding | None:
    """Return the finding for NaN or infinite values in the loss or a gradient, or None."""
    bad = [
        name
        for name, gradient in zip(box.names, analytic.gradients, strict=True)
        if gradient is not None and not bool(gradient.isfinite().all())
    ]
    finite_loss = torch.tensor(analytic.loss).isfinite().item()
    if finite_loss and not bad:
        return None
    where = _first_culprit(box)
    if finite_loss:
        count = f"NaN or infinite gradients in {len(bad)} of {len(box.names)} tensors ({place})"
    else:
        count = f"the loss is {analytic.loss} ({place})"
    first = next(iter(bad), None)
    if first is None:
        return Finding(None, "non-finite", f"{count}; {where}", error=True)
    gradient = analytic.gradients[box.names.index(first)]
    assert gradient is not None
    index = tuple(int(i) for i in (~gradient.isfinite()).nonzero()[0])
    value = float(gradient[index])
    return Finding(first, "non-finite", f"{count}; {where}", True, index, value)


def _first_culprit(box: Sandbox) -> str:
    """Return in words the first module that turns finite values into others, and which way."""
    watch = Watch()
    with watch.over(box.whole), torch.enable_grad():
        loss = box.loss()
        if not watch.events and loss.requires_grad:
            torch.autograd.grad(loss, box.subjects, allow_unused=True)
    given = [n for n, one in zip(box.names, box.subjects, strict=True) if not one.isfinite().all()]
    if watch.events:
        module, way = watch.events[0]
    elif given:
        return f"{given[0]} itself holds such values"
    elif not bool(loss.isfinite()):
        module, way = "the loss", "in the forward pass"
    else:
        module, way = "the loss or code outside any module", "in the backward pass"
    return f"the first module that makes them is {module}, {way}"


def _singly(box: Sandbox) -> list[Tensor | None]:
    """Return the gradients that can be had one by one, None for the others."""
    found: list[Tensor | None] = []
    for subject in box.subjects:
        try:
            one = torch.autograd.grad(box.loss(), [subject], allow_unused=True)[0]
        except Exception:  # the message of the first one is reported
            one = None
        found.append(_detached(one))
    return found


def _detached(gradient: Tensor | None) -> Tensor | None:
    if gradient is None:
        return None
    gradient = gradient.to_dense() if gradient.is_sparse else gradient
    return gradient.detach().contiguous()


def _message(error: BaseException) -> str:
    return first_line(error).rstrip(".")
