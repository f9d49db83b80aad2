"""Values that are not finite, in the loss or a gradient, and who makes them."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ravine.gradients._analytic import Analytic, gradients_of, graph_nodes
from ravine.gradients._nodes import MOST_CALLS, calls_of, node_of, own_function
from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox
from ravine.gradients._watch import Watch


def not_finite(box: Sandbox, analytic: Analytic, place: str) -> Finding | None:
    """Return the finding for NaN or infinite values in the loss or a gradient, or None."""
    bad = [
        name
        for name, gradient in zip(box.names, analytic.gradients, strict=True)
        if gradient is not None and not bool(gradient.isfinite().all())
    ]
    finite_loss = isfinite(analytic.loss)
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
            gradients_of(loss, box.subjects, box.loss)
    given = [n for n, one in zip(box.names, box.subjects, strict=True) if not one.isfinite().all()]
    if watch.events:
        module, way = watch.events[0]
    elif given:
        return f"{given[0]} itself holds such values"
    elif not bool(loss.isfinite()):
        module, way = "the loss", "in the forward pass"
    else:
        module, way = "the loss or code outside any module", "in the backward pass"
    function = _own_culprit(box, loss)
    by = f": {function} makes them of finite numbers" if function else ""
    return f"the first module that makes them is {module}, {way}{by}"


def _own_culprit(box: Sandbox, loss: Tensor) -> str | None:
    """Return the way and the line of the first function of one's own that makes them, if any."""
    functions = dict.fromkeys(own_function(node) for node in graph_nodes(loss.grad_fn))
    own = [one for one in functions if one is not None]
    for function, arguments in calls_of(box, own)[:MOST_CALLS]:
        try:
            way = _made_by(function, arguments, box.seed)
        except Exception:  # alone, it may not run
            continue
        if way is not None:
            return _line(function, way)
    return None


def _made_by(function: Any, arguments: list[Any], seed: int) -> str | None:
    """Return the way in which a function makes such values of finite ones, None where it does not.

    Args:
        function: An `autograd.Function`.
        arguments: Of one call.
        seed: Of what comes back to it.
    """
    node = node_of(function, arguments, seed)
    if not _finite(arguments):
        return None
    if not _finite(node.outputs()):
        return "forward"
    if node.subjects and not _finite(gradients_of(node.loss(), node.subjects, node.loss)):
        return "backward"
    return None


def _line(function: Any, way: str) -> str:
    code = getattr(getattr(function, way), "__code__", None)
    where = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    return f"{function.__qualname__}.{way}{where}"


def _finite(parts: Sequence[Any]) -> bool:
    return all(bool(one.isfinite().all()) for one in parts if isinstance(one, Tensor))
