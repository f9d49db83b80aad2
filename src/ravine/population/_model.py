"""A problem's model as pure functions of its tensors, for one member or a stack of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from ravine.population._dropout import key_dropout, seed_dropout
from ravine.problems import Problem

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Pool:
    """All rows of a problem's data, shared by every member."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class Functions:
    """A model's structure without its tensors.

    Args:
        problem: Gives loss and metric.
        skeleton: A model of the problem, whose tensors are never read.
        names: Names of the weights that train.
        buffer_names: Names of all other tensors: buffers, and frozen parameters.
    """

    problem: Problem
    skeleton: nn.Module
    names: tuple[str, ...]
    buffer_names: tuple[str, ...]

    def gradient(
        self, weights: Tensors, buffers: Tensors, rows: Tensor, norm: Tensors, pool: Pool
    ) -> tuple[Tensors, Tensor, Tensors]:
        """Return gradient, loss and new buffers of one member on one batch.

        Args:
            weights: The member's weights.
            buffers: The member's buffers.
            rows: Rows of the pool, [B].
            norm: Shift and scale of the inputs.
            pool: The data.
        """
        x, y = batch(rows, norm, pool)

        def loss_of(weights: Tensors) -> tuple[Tensor, Tensors]:
            outputs, new = self._outputs(weights, buffers, x, training=True)
            return self.problem.loss(outputs, y), new

        gradient, (loss, new) = grad_and_value(loss_of, has_aux=True)(weights)
        return gradient, loss, new

    def evaluate(
        self, weights: Tensors, buffers: Tensors, rows: Tensor, norm: Tensors, pool: Pool
    ) -> tuple[Tensor, Tensor]:
        """Return mean loss and score of one member on some rows, in evaluation mode."""
        x, y = batch(rows, norm, pool)
        outputs, _ = self._outputs(weights, buffers, x, training=False)
        return self.problem.loss(outputs, y), self.problem.metric(outputs, y)

    def _outputs(
        self, weights: Tensors, buffers: Tensors, x: Tensor, *, training: bool
    ) -> tuple[Tensor, Tensors]:
        # Models update buffers in place; members' own stay as they are until the step is done.
        held = dict(zip(self.buffer_names, (b.clone() for b in buffers), strict=True))
        self.skeleton.train(training)
        tensors = dict(zip(self.names, weights, strict=True)) | held
        outputs = functional_call(self.skeleton, tensors, (x,))
        return outputs, tuple(tensors[name] for name in self.buffer_names)


def functions_of(problem: Problem, dtype: torch.dtype) -> Functions:
    """Return the pure functions of a problem's model."""
    model = key_dropout(problem.build(0, dtype))
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    buffers = [name for name, _ in model.named_buffers()]
    return Functions(problem, model, tuple(names), (*frozen, *buffers))


def initial_model(problem: Problem, seed: int, dtype: torch.dtype) -> nn.Module:
    """Return the model that members of a seed start from, its dropout keyed."""
    model = key_dropout(problem.build(seed, dtype))
    seed_dropout(model, seed)
    return model


def tensors_of(model: nn.Module, names: Sequence[str]) -> Tensors:
    """Return a model's tensors by name, detached."""
    table: dict[str, Tensor] = dict(model.named_parameters()) | dict(model.named_buffers())
    return tuple(table[name].detach() for name in names)


def stacked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a member's function as a function of stacks, the pool shared by all.

    The pool goes in as its two tensors, so that a compiler sees plain arguments.
    """

    def plain(
        weights: Tensors, buffers: Tensors, rows: Tensor, norm: Tensors, x: Tensor, y: Tensor
    ) -> Any:
        return function(weights, buffers, rows, norm, Pool(x, y))

    return vmap(plain, in_dims=(0, 0, 0, 0, None, None))


def stacked_gradient(functions: Functions) -> Callable[..., Any]:
    """Return `Functions.gradient` as a function of stacks, every slot with memory of its own.

    Kernels read gradients by address, and members that begin write into buffers. What does not
    depend on the member leaves `vmap` as one tensor that is seen through every slot.
    """
    over_members = stacked(functions.gradient)

    def gradient(*arguments: Any) -> tuple[Tensors, Tensor, Tensors]:
        gradients, loss, buffers = over_members(*arguments)
        return _laid_out(gradients), loss, _laid_out(buffers)

    return gradient


def _laid_out(tensors: Tensors) -> Tensors:
    return tuple(t.contiguous() for t in tensors)


def batch(rows: Tensor, norm: Tensors, pool: Pool) -> tuple[Tensor, Tensor]:
    """Return normalised inputs and targets of some rows."""
    shift, scale = norm
    y = pool.y[rows]
    return (pool.x[rows].to(shift.dtype) - shift) * scale, (
        y.to(shift.dtype) if y.is_floating_point() else y
    )
