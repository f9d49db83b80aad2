"""Optimizers that evaluate the loss several times per step: one protocol, ``step(closure)``.

They have one group, since a line search or a trust region moves all weights together.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ravine.core.errors import SettingError
from ravine.optim._groups import Group, check_names, check_parameters
from ravine.optim._loaded_state import Kept, check_state, saved_states
from ravine.optim._loading import load, paired, set_state

State = dict[str, Any]
Closure = Callable[[], Any]


class ClosureOptimizer(Optimizer):
    """An optimizer whose step evaluates a closure as often as it needs.

    State belongs to no weight alone; as in torch's LBFGS it is kept at the first parameter, so
    that checkpoints move it with the weights.

    Args:
        params: Parameters, named parameters or one group of them.
        defaults: Settings of the group.

    Raises:
        SettingError: When there are several groups, a setting is unknown or out of bounds, or a
            parameter cannot be updated.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)

    @abstractmethod
    def _check(self, group: Group) -> None:
        """Raise SettingError when the group's settings or parameters cannot be used."""

    @abstractmethod
    def _kept(self, parameters: Sequence[Tensor], state: Mapping[str, Any]) -> Kept:
        """Return what a begun state holds, as long as its own lists and counts say."""

    @abstractmethod
    def _step(self, closure: Closure, group: Group, state: State) -> Any:
        """Make one step and return the loss it began at."""

    def add_param_group(self, param_group: Group) -> None:
        """Add the only group, as in torch; its settings are checked here.

        Raises:
            SettingError: When there is a group already, or this one cannot be used.
        """
        super().add_param_group(param_group)
        group, name = self.param_groups[-1], type(self).__name__
        try:
            if len(self.param_groups) > 1:
                raise SettingError(
                    f"{name} doesn't support per-parameter options: it must have 1 parameter"
                    " group, got a second one"
                )
            if not group["params"]:
                raise SettingError(f"{name} must have a parameter, got an empty group")
            self._check_group(group)
        except Exception:
            self.param_groups.pop()
            raise

    def _check_group(self, group: Group) -> None:
        check_names(group, self.defaults)
        check_parameters(group)
        self._check(group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint, of torch's class of the same name, too.

        Hooks that adapt it run first. What is refused changes nothing.

        Raises:
            SettingError: When parameters have names here and there that come in another order:
                state of all weights at once cannot be matched by name. When a setting is
                refused, or the state is not one of this method and these parameters.
        """
        load(self, state_dict, self._checked)

    def _checked(self, saved: dict[str, Any]) -> dict[str, Any]:
        for own, group in paired(self.param_groups, saved):
            _check_order(own, group)
            self._check_group({**self.defaults, **group, "params": own["params"]})
            for name, parameter, state in saved_states(own, group, saved):
                first = parameter is own["params"][0]
                check_state(name, state, self._kept(own["params"], state) if first else Kept({}))
        return saved

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Make one step.

        Args:
            closure: Evaluates the model at the weights of the moment; what it must return and
                whether it calls ``backward()`` is said by the class.

        Returns:
            The loss that the step began at.

        Raises:
            SettingError: When the closure is missing.
            RuntimeError: When the loss is not one number, or not finite where the step begins.
        """
        if closure is None:
            raise SettingError(
                f"closure must be given, got None: {type(self).__name__} evaluates the loss"
                " several times per step; use optimizer.step(closure)"
            )
        group = self.param_groups[0]
        return self._step(closure, group, self.state[group["params"][0]])

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_state(self, state)


def _check_order(ours: Group, theirs: Group) -> None:
    both = [group.get("param_names") for group in (ours, theirs)]
    if None not in both and both[0] != both[1]:
        raise SettingError(
            "parameter names of the checkpoint must be those of the optimizer in the same order,"
            f" {both[0]}, got {both[1]}"
        )


def evaluate(closure: Closure) -> tuple[Any, float]:
    """Call a closure with gradients on; return its loss, as it came and as a float.

    Raises:
        RuntimeError: When the loss is not one number.
    """
    with torch.enable_grad():
        loss = closure()
    return loss, _one_number(loss)


def evaluate_finite(closure: Closure) -> tuple[Any, float]:
    """Do the same where a step begins.

    Raises:
        RuntimeError: When the loss is not one finite number.
    """
    loss, value = evaluate(closure)
    if not math.isfinite(value):
        raise RuntimeError(
            f"the loss must be finite where a step begins, got {value}; begin elsewhere or make"
            " smaller steps"
        )
    return loss, value


def evaluate_only(closure: Closure) -> float:
    """Call a closure that needs no gradient; return its loss, infinite when it is no number."""
    value = _one_number(closure())
    return value if math.isfinite(value) else math.inf


def share_reached(value: float, reached: float, promised: float, dtype: torch.dtype) -> float:
    """Return which share of the decrease that a model promised was reached.

    Near a minimum both are rounding; adding what rounding may amount to keeps their ratio near 1
    there (Conn, Gould & Toint 2000, Trust-Region Methods, section 17.4.2).

    >>> share_reached(3.0, 2.5, 1.0, torch.float64)
    0.5...
    """
    if promised <= 0:  # rounding in the model itself
        return -math.inf
    rounding = 10 * torch.finfo(dtype).eps * abs(value)
    return (value - reached + rounding) / (promised + rounding)


def unmoved(parameters: Sequence[Tensor], stored: Sequence[Tensor]) -> bool:
    """Return whether a step was too short to change any weight."""
    return all(map(torch.equal, parameters, stored))


def _one_number(loss: Any) -> float:
    if isinstance(loss, Tensor) and loss.numel() != 1:
        raise RuntimeError(
            f"closure must return one number, got shape {tuple(loss.shape)}; take its mean or sum"
        )
    if not isinstance(loss, Tensor | float | int):
        raise RuntimeError(f"closure must return the loss, got {type(loss).__name__}")
    return float(loss.detach() if isinstance(loss, Tensor) else loss)


def flat_gradient(parameters: Sequence[Tensor]) -> Tensor:
    """Return the gradients of all parameters as one vector, 0 where there is none."""
    pieces = []
    for p in parameters:
        grad = torch.zeros_like(p) if p.grad is None else p.grad
        pieces.append((grad.to_dense() if grad.layout != torch.strided else grad).reshape(-1))
    return torch.cat(pieces)


def move(parameters: Sequence[Tensor], direction: Tensor, rate: float | Tensor = 1) -> None:
    """Add a flat direction times a rate to the parameters."""
    for p, piece in zip(parameters, _split(parameters, direction), strict=True):
        p.add_(piece.view_as(p).to(p), alpha=rate)  # type: ignore[arg-type]


def copied(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of the parameters."""
    return [p.detach().clone() for p in parameters]


def put_back(parameters: Sequence[Tensor], stored: Sequence[Tensor]) -> None:
    """Give the parameters the values of copies."""
    for p, value in zip(parameters, stored, strict=True):
        p.copy_(value)


def _split(parameters: Sequence[Tensor], flat: Tensor) -> Sequence[Tensor]:
    return flat.split([p.numel() for p in parameters])
