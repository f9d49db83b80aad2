"""The gradient check of a model, a loss and a batch: directions first, then entries."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ravine.gradients._given import check_counts, check_given, check_runs
from ravine.gradients._held import modules_behind, unmoved
from ravine.gradients._listening import Listener, Silent
from ravine.gradients._nested import tensors_in
from ravine.gradients._report import Report
from ravine.gradients._run import Run
from ravine.gradients._sandbox import outside_unmoved, sandbox


def check(
    model: nn.Module,
    loss: Callable[..., Tensor],
    batch: Sequence[Any],
    *,
    full: bool = False,
    sample: int | None = None,
    seed: int = 0,
    listener: Listener | None = None,
) -> Report:
    """Check every gradient of ``loss(model(inputs), targets)`` against differences of the loss.

    Slopes along random directions over all parameters and float inputs come first: a wrong entry
    anywhere shows in them. Where one disagrees, or rounding hides it, each tensor is tested, wrong
    entries are found by halving, and experiments decide the cause. Everything runs in a float64
    copy: the model, its buffers, mode and gradients, and all random generators stay as they are.

    Args:
        model: Checked in the mode it is in.
        loss: Called as ``loss(outputs, targets)``; returns a tensor with one element.
        batch: ``(inputs, targets)``, several inputs and then the targets, or ``({name: input},
            targets)`` for keyword inputs. Inputs that are not float are not checked.
        full: Check every entry too, by central differences; above 300,000 entries a sample.
        sample: Check so many random entries of each tensor too, >= 1.
        seed: Of directions, samples and whatever the model draws.
        listener: Hears of progress.

    Returns:
        Findings with their causes. ``ok`` is False for a wrong backward pass, NaN or infinite
        gradients, and a parameter that the loss depends on but that gets no gradient; a kink,
        rounding, randomness and statistics that move are noted only. ``agrees`` is True where, in
        addition, everything could be checked: rounding may hide whether a gradient is right.

    Raises:
        ModelError: The model cannot be copied or run, is in half precision, or the loss is no
            scalar.
        DataError: The batch holds no tensor or no sample.
        SettingError: `sample` is no integer >= 1, or given with `full`.

    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> report = check(model, nn.functional.cross_entropy, (torch.ones(5, 3), torch.ones(5).long()))
    >>> report.ok, len(report.checked)
    (True, 5)
    """
    check_given(model, loss, batch)
    check_counts(full, sample)
    behind = modules_behind(loss)
    with outside_unmoved(), unmoved(behind), _quiet(), torch.enable_grad():
        run = Run(seed, listener or Silent())
        dtypes = _own_dtypes(model, batch)
        own = partial(sandbox, model, loss, batch, dtypes[0], seed, mixed=len(dtypes) > 1)
        with unmoved(behind):
            check_runs(model, own(), batch)
        narrow = own()
        box, held = run.wide(model, loss, batch, narrow)
        return run.report(model, box, held, narrow, run.entries_per_tensor(box, full, sample))


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out a warning about evaluations without gradients, which the check makes on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "None of the inputs have requires_grad=True")
        yield


def _own_dtypes(model: nn.Module, batch: Sequence[Any]) -> list[torch.dtype]:
    """Return the float dtypes of the model, the narrowest of parameters first; else of an input."""
    weights = [one.dtype for one in model.parameters()] or [
        one.dtype for one in tensors_in(batch[:-1])
    ]
    floats = [one for one in weights if one.is_floating_point]
    first = min(floats, key=lambda one: one.itemsize, default=torch.float32)
    kept = {one.dtype for one in model.buffers() if one.dtype.is_floating_point}
    return [first, *({*floats, *kept} - {first})]
