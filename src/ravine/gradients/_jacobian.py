"""The Jacobian of a small node, both ways, and what is missing or misplaced in it."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ravine.gradients._nodes import Node

_MOST = 2048  # outputs, and inputs: a Jacobian of 32 MiB
_NEAR = 1e-5  # of the largest entry


def jacobian_pattern(node: "Node", which: int) -> str | None:
    """Return what is wrong with the Jacobian by one input; None where no pattern shows.

    Args:
        node: A call of a function.
        which: Number of its input.
    """
    output, x = node.outputs()[0], node.subjects[which]
    if len(node.outputs()) > 1 or max(output.numel(), x.numel()) > _MOST:
        return None
    given, numeric = _analytic(node, which), _numeric(node, which)
    near = _NEAR * float(numeric.abs().max())
    wrong = (given - numeric).abs() > near
    if not wrong.any():
        return None
    empty = given.abs() <= near
    left_out = bool(empty[wrong].all())
    if left_out and output.shape == x.shape and bool(wrong.any()) and not wrong.diagonal().any():
        worst = float(numeric[wrong].abs().max())
        return (
            "the cross terms are left out: d out[i] / d x[i] agrees, but d out[i] / d x[j] is 0 by"
            f" autograd and up to {worst:.3g} numerically"
        )
    said = _batch(wrong, empty, output.shape) if left_out else None
    said = said or _misplaced(given, numeric, near, output.shape, x.shape)
    said = said or _rearranged(given, numeric, near, output.shape)
    if said is None and left_out:
        said = _left_out(wrong, numeric, output.shape, x.shape)
    return said


def _batch(wrong: Tensor, empty: Tensor, shape: torch.Size) -> str | None:
    """Return words where only some samples of the batch reach the gradient."""
    if len(shape) < 2 or shape[0] < 2:
        return None
    rows = wrong.view(shape[0], -1).any(1)
    nothing = empty.view(shape[0], -1).all(1)
    if rows.all() or not bool(nothing[rows].all()):
        return None
    used = (~rows).nonzero().flatten().tolist()
    return (
        f"the sum over the batch is left out: only row {', '.join(map(str, used))} of"
        f" {shape[0]} reaches it"
    )


def _misplaced(
    given: Tensor, numeric: Tensor, near: float, outputs: torch.Size, inputs: torch.Size
) -> str | None:
    """Return words where an input acts along one output dimension and autograd uses another."""
    if len(inputs) != 1:
        return None
    right, taken = (_axis(one, near, outputs) for one in (numeric, given))
    if right is None or taken is None or right == taken:
        return None
    return (
        f"the broadcast is reduced over the wrong dimensions: entry i acts on the outputs with"
        f" index i in dimension {right}, autograd sums those with index i in dimension {taken}"
    )


def _rearranged(given: Tensor, numeric: Tensor, near: float, outputs: torch.Size) -> str | None:
    """Return words where the Jacobian is right but for a transpose or a shift of the outputs."""
    if given.shape[0] == given.shape[1] and bool(((given.T - numeric).abs() <= near).all()):
        return (
            "a transpose is missing: the Jacobian of output by input is the transpose of what it"
            " should be"
        )
    shaped = given.view(*outputs, -1)
    for axis, size in enumerate(outputs):
        for shift in (1, -1) if size > 1 else ():
            moved = shaped.roll(shift, axis).reshape(given.shape)
            if bool(((moved - numeric).abs() <= near).all()):
                return (
                    f"it is the gradient of a neighbour: outputs are shifted by one along"
                    f" dimension {axis}"
                )
    return None


def _axis(jacobian: Tensor, near: float, outputs: torch.Size) -> int | None:
    """Return the output dimension whose index is the input's, where the Jacobian has one."""
    count = jacobian.shape[1]
    support = (jacobian.abs() > near).view(*outputs, count)
    for axis, size in enumerate(outputs):
        if size == count:
            moved = support.movedim(axis, 0)  # [n, other outputs, n]
            others = ~torch.eye(count, dtype=torch.bool, device=jacobian.device)
            if not moved.reshape(count, -1, count).any(1)[others].any():
                return axis
    return None


def _left_out(wrong: Tensor, numeric: Tensor, outputs: torch.Size, inputs: torch.Size) -> str:
    first = int(torch.where(wrong, numeric.abs(), 0.0).argmax())
    row, column = divmod(first, wrong.shape[1])
    names = [
        ", ".join(str(int(i)) for i in torch.unravel_index(torch.tensor(flat), shape))
        for flat, shape in ((row, outputs), (column, inputs))
    ]
    out = f"out[{names[0]}]" if outputs else "out"
    return (
        f"a term is left out: d {out} / d x[{names[1]}] is 0 by autograd and"
        f" {float(numeric.view(-1)[first]):.4g} numerically, as in {int(wrong.sum())} of"
        f" {int((numeric != 0).sum())} entries of the Jacobian"
    )


def _analytic(node: "Node", which: int) -> Tensor:
    """Return the Jacobian from backward passes, [outputs, inputs]."""
    rows = []
    for i in range(node.outputs()[0].numel()):
        # A new graph each time: a faulty backward may spoil what its graph has saved.
        one = node.outputs()[0].reshape(-1)[i]
        row = torch.autograd.grad(one, node.subjects[which], allow_unused=True)[0]
        rows.append(torch.zeros_like(node.subjects[which]) if row is None else row)
    return torch.stack(rows).detach().reshape(len(rows), -1)


def _numeric(node: "Node", which: int) -> Tensor:
    """Return the Jacobian from central differences, [outputs, inputs]."""
    columns = []
    step = torch.finfo(node.dtype).eps ** (1 / 3)
    with torch.no_grad():
        flat = node.subjects[which].view(-1)
        for i in range(flat.numel()):
            kept, values = flat[i].clone(), []
            width = step * max(1.0, abs(float(kept)))
            for sign in (1, -1):
                flat[i] = kept + sign * width
                values.append(node.outputs()[0].reshape(-1).clone())
            flat[i] = kept
            columns.append((values[0] - values[1]) / (2 * width))
    return torch.stack(columns, dim=1)
