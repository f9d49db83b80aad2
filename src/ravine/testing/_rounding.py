"""How far rounding may move a step, judged by how far tiny shifts of its inputs move it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ravine.rules import Rule
from ravine.testing._models import Hypers, Model, column, formula_step

# Times what shifting the inputs by a few units in the last place does, and what rounding of one
# operation does, relative to the largest entry.
MARGIN, OPERATIONS = 16.0, 256.0
SHIFTS, UNITS = 3, 4.0
_UNIT = UNITS * torch.finfo(torch.float64).eps


def far(
    rule: Rule,
    by_kernel: Callable[[Hypers], Model],
    model: Model,
    grads: Sequence[Tensor],
    t: int,
    hypers: Hypers,
) -> str:
    """Return what of a kernel's step lies further from the formula than rounding explains.

    The formula is evaluated again from arrays shifted in their last bits, and the kernel at
    hyper-parameters shifted in theirs: the kernel has no Python branch that a shift could change.
    How far results move says how ill-conditioned the step is. Entries that become infinite or
    NaN, or stop being so, say nothing.

    Args:
        rule: The rule.
        by_kernel: From hyper-parameters to the model after the kernel's step.
        model: The model before it.
        grads: Its gradients.
        t: Number of the step.
        hypers: Hyper-parameters.

    Returns:
        The first name among w, states and scalars that is too far, or an empty text.
    """
    formula, ours = formula_step(rule, model, grads, t, hypers), by_kernel(hypers)
    shifts = [(formula, _shifted_step(rule, model, grads, t, hypers, i)) for i in range(SHIFTS)]
    shifts += [(ours, by_kernel(_near(hypers, unit))) for unit in (_UNIT, -_UNIT)]
    unit = torch.finfo(model[0][0].dtype).eps
    for name in ("w", *rule.kept):
        columns = [[column(rule, m, name) for m in pair] for pair in ((ours, formula), *shifts)]
        for i in range(len(model[0])):
            (a, b), *moved = [(one[i], other[i]) for one, other in columns]
            if not _close(a, b, moved, unit):
                return name
    return ""


def _near(hypers: Hypers, unit: float) -> dict[str, float]:
    # A share of exactly 0 can make a difference exactly 0 that other arithmetic nears from either
    # side: the variance v - m^2 of a mean over one gradient, under a root.
    return {name: value * (1 + unit) if value else unit for name, value in hypers.items()}


def _close(
    ours: Tensor, formula: Tensor, moved: Sequence[tuple[Tensor, Tensor]], unit: float
) -> bool:
    judged = torch.ones_like(formula, dtype=torch.bool)
    largest = torch.zeros((), dtype=formula.dtype)
    for one, other in moved:
        judged &= one.isfinite() == other.isfinite()
        largest = torch.maximum(largest, (other - one).abs().nan_to_num(0.0, 0.0, 0.0).max())
    apart = torch.where((ours == formula) | (ours.isnan() & formula.isnan()), 0.0, ours - formula)
    size = torch.where(formula.isfinite(), formula, 0.0).abs().max()
    allowed = MARGIN * largest + OPERATIONS * unit * size
    return bool((~judged | (apart.abs() <= allowed)).all())


def _shifted_step(
    rule: Rule, model: Model, grads: Sequence[Tensor], t: int, hypers: Hypers, seed: int
) -> Model:
    rng = torch.Generator().manual_seed(seed)

    def shift(x: Tensor) -> Tensor:
        signs = torch.randint(2, x.shape, generator=rng) * 2 - 1
        return x * (1 + UNITS * torch.finfo(x.dtype).eps * signs)

    weights, states = model
    moved = [{name: shift(value) for name, value in state.items()} for state in states]
    shifted = [shift(w) for w in weights], moved
    return formula_step(rule, shifted, [shift(g) for g in grads], t, hypers)
