"""Optimizers that treat a weight as a matrix: plain torch code, since no kernel can hold them."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ravine.optim._by_name import matched_by_name
from ravine.optim._groups import Group, check_names, check_parameters
from ravine.optim._loaded_state import Kept, check_state, saved_states
from ravine.optim._loading import load, paired, set_state
from ravine.optim._memory import gradient

State = dict[str, Any]


class MatrixOptimizer(Optimizer):
    """An optimizer that updates one weight tensor at a time, as a whole.

    Args:
        params: As in ``torch.optim.Optimizer``.
        defaults: Settings of groups that do not bring their own.
    """

    @abstractmethod
    def _check(self, group: Group) -> None:
        """Raise SettingError when a group's settings or parameters cannot be used."""

    @abstractmethod
    def _kept(self, parameter: Tensor) -> Kept:
        """Return what the state of a parameter holds once it has begun."""

    @abstractmethod
    def _update(self, parameter: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Update one parameter, which has elements, and its state."""

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, as in torch; its settings are checked here.

        Raises:
            SettingError: When a setting is unknown or out of bounds, or a parameter is of a kind
                that the method cannot update.
        """
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except Exception:
            self.param_groups.pop()
            raise

    def _check_group(self, group: Group) -> None:
        check_names(group, self.defaults)
        check_parameters(group)
        self._check(group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            What the closure returned, or None.

        Raises:
            RuntimeError: When a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # All gradients are looked at before any weight changes: one of them may be refused.
        found = [
            (p, gradient(p), group)
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        for parameter, grad, group in found:
            if parameter.numel():
                self._update(parameter, grad, self.state[parameter], group)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint, of torch's class of the same name, too.

        Where parameters have names here and there, states are matched by name. Hooks that adapt
        the checkpoint run first. What is refused changes nothing.

        Raises:
            SettingError: When parameters' names differ from the optimizer's, a setting is
                refused, or a state is not one of this method and parameter.
        """
        self._restore_precision(load(self, state_dict, self._adapted))

    def _adapted(self, saved: dict[str, Any]) -> dict[str, Any]:
        matched = matched_by_name(self.param_groups, saved)
        for own, group in paired(self.param_groups, matched):
            self._check_group({**self.defaults, **group, "params": own["params"]})
            for name, parameter, state in saved_states(own, group, matched):
                check_state(name, state, self._kept(parameter))
        return matched

    def _restore_precision(self, saved: dict[str, Any]) -> None:
        """Put back what torch's loader has rounded to the dtype of half-precision weights."""
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        ours = [p for group in self.param_groups for p in group["params"]]
        for number, parameter in zip(numbers, ours, strict=True):
            for key, value in saved["state"].get(number, {}).items():
                self.state[parameter][key] = _unrounded(value, self.state[parameter][key])

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_state(self, state)


def _unrounded(saved: Any, loaded: Any) -> Any:
    if isinstance(saved, list):
        return [_unrounded(a, b) for a, b in zip(saved, loaded, strict=True)]
    if isinstance(saved, Tensor) and saved.dtype == torch.float32 and loaded.dtype.itemsize == 2:
        return saved.to(loaded.device, copy=True)
    return loaded


def along_dimensions(tensor: Tensor, factors: Sequence[Tensor | None]) -> Tensor:
    """Multiply a tensor by one factor along each of its dimensions.

    Args:
        tensor: Of k dimensions.
        factors: For dimension i of size n an ``(n, m)`` matrix ``A``, which replaces x by
            ``A.T x``, a diagonal of shape ``(n,)``, or None for the identity.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> along_dimensions(x, [None, torch.tensor([10.0, 1.0])]).tolist()
    [[10.0, 2.0], [30.0, 4.0]]
    """
    for factor in factors:
        # Each turn takes the first dimension and puts its result last: k turns restore the order.
        if factor is not None and factor.ndim == 2:
            tensor = torch.tensordot(tensor, factor, dims=([0], [0]))
        else:
            tensor = tensor.movedim(0, -1)
            tensor = tensor if factor is None else tensor * factor
    return tensor


def gram(tensor: Tensor, dimension: int) -> Tensor:
    """Return ``X X.T`` of a tensor unfolded along a dimension, of shape ``(n, n)``."""
    unfolded = tensor.movedim(dimension, 0).reshape(tensor.shape[dimension], -1)
    return unfolded @ unfolded.T
