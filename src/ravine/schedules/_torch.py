"""Any schedule as a scheduler of torch."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ravine.core.errors import SettingError, unknown
from ravine.core.numbers import integer
from ravine.optim._optimizer import RuleOptimizer
from ravine.schedules._momentum import named_momentum
from ravine.schedules._notation import get_schedule
from ravine.schedules._scaled import Schedule

_NOT_SAVED = ("optimizer", "schedule", "_schedules")


class TorchSchedule(LRScheduler):
    """A schedule as a ``torch.optim.lr_scheduler.LRScheduler``, for any optimizer.

    The values in the optimizer's groups are the base; group by group they are replaced, at once
    and at every `step`, by what the schedule makes of them. ``betas`` are known to it as
    ``beta1``, ``beta2``, ...; a momentum, ``beta1`` included, as ``momentum`` too.

    Args:
        optimizer: Ravine's or torch's.
        schedule: The schedule, or its text.
        total_steps: Number of steps, >= 1.
        last_epoch: Steps made before, with groups that have ``initial_lr``; -1 at the start.

    Raises:
        SettingError: An argument is wrong, or a group has no ``lr``; by `step`, when there were
            more than `total_steps`, or the schedule returns what a group does not have.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.5, momentum=0.9)
    >>> scheduler = TorchSchedule(optimizer, "linear", total_steps=10)
    >>> for _ in range(5):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: str | Schedule,
        total_steps: int,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise SettingError(f"optimizer must be a torch.optim.Optimizer, got {optimizer!r}")
        if not all("lr" in group for group in optimizer.param_groups):
            raise SettingError(
                "optimizer must have a learning rate 'lr' to schedule, got"
                f" {type(optimizer).__name__}, which has none; step it without a schedule"
            )
        self.schedule = get_schedule(schedule)
        self.total_steps = integer("total_steps", total_steps, 1)
        self._bases = [_base(group) for group in optimizer.param_groups]
        self._schedules = [
            named_momentum(self.schedule, _momentum(optimizer, group, base))
            for group, base in zip(optimizer.param_groups, self._bases, strict=True)
        ]
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each group, and set the other values that change.

        As in torch's schedulers that cycle the momentum too: this is all that torch calls for
        certain whenever the step has changed.
        """
        groups = self.optimizer.param_groups
        if self.last_epoch > self.total_steps:
            raise SettingError(
                f"total_steps must be at least the steps made, got {self.total_steps} at step"
                f" {self.last_epoch}; give the scheduler the length of the whole run"
            )
        if len(groups) != len(self._bases):
            raise SettingError(
                f"the optimizer must keep the {len(self._bases)} groups that the scheduler was"
                f" made for, got {len(groups)}; make a new TorchSchedule after add_param_group"
            )
        return [
            _set(group, base, schedule(self.last_epoch, self.total_steps, base))
            for group, base, schedule in zip(groups, self._bases, self._schedules, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on, without the schedule itself, which is a function."""
        return {name: value for name, value in self.__dict__.items() if name not in _NOT_SAVED}


def _base(group: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a group by formula name."""
    numbers = {"lr": group.get("initial_lr", group["lr"])}
    for name, value in group.items():
        if name == "betas":
            numbers |= {f"beta{i}": beta for i, beta in enumerate(value, start=1)}
        elif name not in ("params", "param_names", "lr", "initial_lr"):
            numbers[name] = value
    return {name: float(value) for name, value in numbers.items() if _is_number(value)}


def _momentum(optimizer: Optimizer, group: dict[str, Any], base: dict[str, float]) -> str | None:
    """Return what a group's momentum is called in its base values."""
    known = next((name for name in ("momentum", "beta1") if name in base), None)
    if known is None and isinstance(optimizer, RuleOptimizer):
        return optimizer._rule_of(group).momentum
    return known


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, bool)


def _set(group: dict[str, Any], base: dict[str, float], found: dict[str, Any]) -> Any:
    """Write all values but the learning rate into a group, and return that."""
    values = {name: float(value) for name, value in found.items()}
    for name, value in values.items():
        if name not in base:
            raise unknown("hyper-parameter of a group", name, base)
        if name not in group:
            index = int(name.removeprefix("beta")) - 1
            group["betas"] = (*group["betas"][:index], value, *group["betas"][index + 1 :])
        elif name != "lr":
            group[name] = value
    return values.get("lr", base["lr"])
