"""A test of one line for the gradients of a model."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from ravine.gradients import check


def assert_gradients(
    model: nn.Module,
    loss: Callable[..., Tensor],
    batch: Sequence[Any],
    *,
    full: bool = False,
    sample: int | None = None,
    seed: int = 0,
) -> None:
    """Raise AssertionError where the gradients of a model, a loss and a batch are wrong.

    Takes what `ravine.gradients.check` takes. Kinks and moving statistics raise nothing, nor do
    rounding and randomness where they leave something to check.

    Raises:
        AssertionError: With the report: each wrong tensor, its entries, the cause and evidence; or
            nothing was checked, and why.
        RavineError: The model cannot be checked.

    >>> import torch
    >>> batch = torch.ones(5, 3), torch.ones(5).long()
    >>> assert_gradients(nn.Linear(3, 2), nn.functional.cross_entropy, batch)
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    report = check(model, loss, batch, full=full, sample=sample, seed=seed)
    if not report.ok:
        raise AssertionError(str(report))
    if report.why_unchecked is not None:
        raise AssertionError(f"nothing was checked: {report.why_unchecked}")
