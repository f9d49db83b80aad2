"""Nodes of one's own in the computation graph, with their backward passes, checked.

A node is a `torch.autograd.Function`: `forward` computes its output and saves what the backward
pass needs; `backward` takes dL/d(output) and returns dL/d(input) for every input, each with the
shape of its input.

    python examples/custom_nodes.py
"""

from typing import Any

import torch
from torch import Tensor, nn

from ravine.gradients import check


class FullyConnected(torch.autograd.Function):
    """``y = x W + b`` with x [B, D], W [D, K], b [K]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        """Return x W + b."""
        ctx.save_for_backward(x, w)
        return x @ w + b

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``dL/dx = dL/dy W^T``, ``dL/dW = x^T dL/dy``, ``dL/db = sum over the batch of dL/dy``."""
        x, w = ctx.saved_tensors
        return dy @ w.T, x.T @ dy, dy.sum(0)


class MulticlassHinge(torch.autograd.Function):
    """``L = mean_i sum_{j != y} max(0, s_ij - s_iy + 1)`` with scores s [B, K], labels y [B]."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss."""
        label = labels[:, None]
        margins = scores - scores.gather(1, label) + 1
        margins = margins.scatter(1, label, 0.0)  # the right class has no margin to itself
        ctx.save_for_backward(margins, label)
        return margins.clamp(min=0).sum(1).mean()

    @staticmethod
    def backward(ctx: Any, dl: Tensor) -> tuple[Tensor, None]:
        """``dL_i/ds_j = 1[margin_j > 0]``, ``dL_i/ds_y = -sum_{j != y} 1[margin_j > 0]``."""
        margins, label = ctx.saved_tensors
        active = (margins > 0).to(margins.dtype)
        ds = active.scatter(1, label, -active.sum(1, keepdim=True))
        return dl * ds / len(margins), None


class Classifier(nn.Module):
    """Two fully connected layers of one's own, D -> hidden -> K."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(inputs, hidden) / inputs**0.5)
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = nn.Parameter(torch.randn(hidden, classes) / hidden**0.5)
        self.b2 = nn.Parameter(torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores [B, K]."""
        return FullyConnected.apply(
            torch.tanh(FullyConnected.apply(x, self.w1, self.b1)), self.w2, self.b2
        )


def hinge(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the multiclass hinge loss by the node above."""
    return MulticlassHinge.apply(scores, labels)


def main() -> None:
    """Check the classifier and its loss, every entry."""
    torch.manual_seed(0)
    batch = torch.randn(8, 12), torch.randint(5, (8,))
    print(check(Classifier(12, 16, 5), hinge, batch, full=True))


if __name__ == "__main__":
    main()
