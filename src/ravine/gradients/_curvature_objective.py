"""What is looked at: a scalar of some tensors, as a pure function at a point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ravine.core.errors import DataError, ModelError, SettingError
from ravine.gradients._given import check_weights
from ravine.gradients._nested import mapped, tensors_in
from ravine.gradients._tied import call_with, places

Tensors = tuple[Tensor, ...]
Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, eq=False)
class Objective:
    """A scalar function of tensors, and the point at which it is looked at.

    Make one with `objective` (a model on a batch) or `objective_of` (a function of your own).

    Args:
        point: The tensors, detached.
        names: A name per tensor.
        inner: Tensors to outputs; for a function of one's own the scalar itself.
        outer: Outputs to the scalar; the identity for a function of one's own.
        model: The model, where there is one.
        loss: Its loss.
        batch: Its inputs and targets.
    """

    point: Tensors
    names: tuple[str, ...]
    inner: Callable[[Tensors], Any]
    outer: Callable[[Any], Tensor]
    model: nn.Module | None = None
    loss: Loss | None = None
    batch: tuple[Any, Any] | None = None

    @property
    def size(self) -> int:
        """Number of entries P of all tensors together."""
        return sum(tensor.numel() for tensor in self.point)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the tensors."""
        return self.point[0].dtype

    def value(self, tensors: Tensors) -> Tensor:
        """Return the scalar at some tensors; differentiable as often as the function is."""
        return self.outer(self.inner(tensors))

    def at(self, vector: Tensor) -> float:
        """Return the scalar at a flat vector [P]."""
        return float(self._plain(self.split(vector)))

    def _plain(self, tensors: Tensors) -> Tensor:
        # The tensors ask for no gradient, so there is no graph but what the function makes of its
        # own to take gradients itself.
        with torch.enable_grad():
            value = self.value(tensors)
        return value.detach() if isinstance(value, Tensor) else value

    def gradient(self) -> Tensor:
        """Return the gradient at the point by autograd, flat [P]; 0 where a tensor is unused."""
        tensors = tuple(t.clone().requires_grad_() for t in self.point)
        with torch.enable_grad():
            found = torch.autograd.grad(
                self.value(tensors), tensors, allow_unused=True, materialize_grads=True
            )
        return flat(found).detach()

    def split(self, vector: Tensor) -> Tensors:
        """Return a flat vector [P] as tensors of the point's shapes."""
        pieces = vector.split([t.numel() for t in self.point])
        return tuple(p.view(t.shape) for p, t in zip(pieces, self.point, strict=True))


def objective(model: nn.Module, loss: Loss, batch: tuple[Any, Any]) -> Objective:
    """Return a model's loss on a batch as a function of the weights that train.

    The model stays as it is: buffers are copied at every evaluation. Its mode is the one given:
    BatchNorm in training mode normalises by the batch. Dropout must be off, as a function that
    draws random numbers has no derivatives.

    Args:
        model: The module; its weights are the point.
        loss: ``loss(outputs, targets)``, a tensor without dimensions.
        batch: Inputs and targets; inputs are a tensor, or a tuple of the model's arguments.

    Raises:
        SettingError: The batch is no pair.
        DataError: An input has no rows.
        ModelError: Nothing trains, weights hold no values or are in mixed or half precision, the
            model is a torch.jit one, the loss is no scalar, or two evaluations differ.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> here = objective(model, nn.MSELoss(), (torch.eye(2), torch.zeros(2, 1)))
    >>> here.size, here.names
    (2, ('weight',))
    """
    if not isinstance(batch, Sequence) or len(batch) != 2:
        raise SettingError("batch must be a pair (inputs, targets)")
    inputs, targets = batch
    _check_runnable(model, inputs)
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    held = {id(t): t.detach() for t in model.buffers()}
    where = places(model)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)

    def outputs(tensors: Tensors) -> Any:
        # A model updates its buffers in place, and may its inputs; each evaluation gets copies.
        now = {key: t.clone() for key, t in held.items()}
        now |= zip(map(id, weights.values()), tensors, strict=True)
        return call_with(model, where, now, mapped(arguments, torch.clone))

    found = Objective(
        point=tuple(p.detach() for p in weights.values()),
        names=tuple(weights),
        inner=outputs,
        outer=lambda scores: loss(scores, mapped(targets, torch.clone)),
        model=model,
        loss=loss,
        batch=(inputs, targets),
    )
    return _checked(found, "the model has no weights that train; set requires_grad on some")


def _check_runnable(model: nn.Module, inputs: Any) -> None:
    check_weights(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "model must take other weights for its own, which a torch.jit module cannot; give the"
            " module it was made from"
        )
    for one in tensors_in(inputs):
        if one.ndim and one.shape[0] == 0:
            raise DataError(
                f"batch: must hold at least one sample, got an input of shape {tuple(one.shape)}"
            )


def objective_of(function: Callable[..., Tensor], *tensors: Tensor) -> Objective:
    """Return a scalar function of tensors at a point.

    Args:
        function: Called with the tensors; returns a tensor without dimensions.
        tensors: The point, at least one tensor of float32 or float64.

    Raises:
        ModelError: There is no tensor, one is no float, the result is no scalar, or two
            evaluations differ.

    >>> here = objective_of(lambda w: (w**4).sum(), torch.ones(3, dtype=torch.float64))
    >>> here.gradient().tolist()
    [4.0, 4.0, 4.0]
    """
    found = Objective(
        point=tuple(t.detach() for t in tensors),
        names=tuple(f"x{i}" for i in range(len(tensors))),
        inner=lambda values: function(*values),
        outer=lambda value: value,
    )
    return _checked(found, "give the function at least one tensor")


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors as one vector [P]."""
    return torch.cat([t.reshape(-1) for t in tensors])


def _checked(found: Objective, if_empty: str) -> Objective:
    if not found.point:
        raise ModelError(if_empty)
    for name, tensor in zip(found.names, found.point, strict=True):
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ModelError(
                f"{name} must be torch.float32 or torch.float64, got {tensor.dtype}; convert it"
                " first, with .double() for the most digits"
            )
    if len({t.dtype for t in found.point}) > 1:
        raise ModelError("all tensors must have one dtype, got two; convert them with .double()")
    _check_value(found)
    return found


def _check_value(found: Objective) -> None:
    value, again = found._plain(found.point), found._plain(found.point)
    if not isinstance(value, Tensor) or value.ndim:
        shape = getattr(value, "shape", None)
        got = type(value).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ModelError(f"the function must return a scalar tensor, got {got}; take its mean")
    if not value.isfinite():
        raise ModelError(f"the function must be finite at the point, got {float(value)}")
    if not torch.equal(value, again):
        raise ModelError(
            f"two evaluations must agree, got {float(value):.9g} and {float(again):.9g}: the"
            " function draws random numbers, perhaps in dropout; call eval() on the model first"
        )
