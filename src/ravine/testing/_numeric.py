"""Checks by numbers: the formula beside its kernel and beside plain arithmetic."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ravine.kernels import kernel, lower
from ravine.rules import Rule
from ravine.testing._kernel_step import KernelStep
from ravine.testing._models import Hypers, Model, begin, column, copied, formula_step, gradients
from ravine.testing._require import require
from ravine.testing._rounding import far
from ravine.testing._settings import DEFAULTS, settings_of

# Enough for rules that count to reach their later branches (RAdam adapts from about step 5).
STEPS = 12
FEW = 3  # at settings other than the defaults
_HINT = "; does the formula branch in Python, with if or ==? use where"


def kernel_equals_formula(rule: Rule) -> None:
    """One kernel step equals one of the formula, from the same weights and states, every step."""
    _compare(rule, rule.hypers, DEFAULTS, torch.float32, STEPS)
    for label, hypers in settings_of(rule).items():
        _compare(rule, hypers, label, torch.float64, STEPS if label == DEFAULTS else FEW)


def _compare(rule: Rule, hypers: Hypers, label: str, dtype: torch.dtype, steps: int) -> None:
    model = begin(rule, dtype, hypers)
    step = KernelStep(kernel(rule, dtype), [w.shape for w in model[0]])
    for t in range(1, steps + 1):
        if not all(bool(w.isfinite().all()) for w in model[0]):
            return  # an extreme setting may diverge: there is nothing left to compare
        grads = gradients(model[0], t)
        by_kernel = partial(_kernel_step, step, model, grads, t)
        wrong = far(rule, by_kernel, model, grads, t, hypers)
        where = f"at step {t} with {label} in {str(dtype).removeprefix('torch.')}"
        require(not wrong, rule, f"the kernel differs from the formula {where}: {wrong}{_HINT}")
        model = formula_step(rule, model, grads, t, hypers)


def _kernel_step(
    step: KernelStep, model: Model, grads: Sequence[Tensor], t: int, hypers: Hypers
) -> Model:
    weights, states = copied(model)
    step([weights], [grads], [states], t, [hypers])
    return weights, states


def numbers_equal_formula(rule: Rule) -> None:
    """The formula gives the same for plain numbers, zeros among them, as for tensors.

    Python compares and branches on numbers, so a formula that treats them apart shows here.
    """
    if lower(rule).sums or rule.scalars:
        return  # a sum needs tensors
    values = _grid(2 + len(rule.state))
    w, g, *kept = (torch.from_numpy(column.copy()) for column in values.T)
    states = dict(zip(rule.state, kept, strict=True))
    for label, hypers in settings_of(rule).items():
        for t in (1, 2, 7):
            model = formula_step(rule, ([w], [states]), [g], t, hypers)
            new = torch.stack([column(rule, model, n)[0] for n in ("w", *rule.state)], 1).numpy()
            same = [_same(rule, *pair, t, hypers) for pair in zip(new, values, strict=True)]
            where = f"at step {t} with {label}"
            require(all(same), rule, f"plain numbers give another result {where}{_HINT}")


def _grid(arguments: int) -> np.ndarray:
    """Return rows of arguments: each argument 0 once, all of them once, and without zeros."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 2.0, size=(4 * arguments + 1, arguments))
    values[:, :2] *= rng.choice([-1.0, 1.0], size=(len(values), 2))
    np.fill_diagonal(values, 0.0)
    values[-1] = 0.0
    return values


def _same(rule: Rule, tensors: np.ndarray, row: np.ndarray, t: int, hypers: Hypers) -> bool:
    try:
        numbers = rule.function(*row.tolist(), t=float(t), **hypers)
    except (ZeroDivisionError, OverflowError):
        return True  # Python refuses where arrays give infinity
    return np.allclose(tensors, np.array(numbers, float), rtol=1e-9, atol=1e-12, equal_nan=True)
