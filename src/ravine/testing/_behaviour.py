"""Checks of what a step does to a model: shapes, NaN, neighbours, readout and ascent."""

import torch
from torch import Tensor

from ravine.kernels import kernel, lower
from ravine.rules import Rule, ascent_rule, reference_readout, reference_step
from ravine.testing._kernel_step import KernelStep
from ravine.testing._models import (
    Model,
    States,
    begin,
    column,
    copied,
    formula_step,
    gradients,
    same_bits,
)
from ravine.testing._require import require

STEPS = 12


def keeps_shapes(rule: Rule) -> None:
    """Weights and states keep their shapes, and stay finite at the defaults."""
    model = begin(rule, torch.float64, rule.hypers)
    shapes = [w.shape for w in model[0]]
    for t in range(1, STEPS + 1):
        model = formula_step(rule, model, gradients(model[0], t), t, rule.hypers)
        for name in ("w", *rule.kept):
            for value, shape in zip(column(rule, model, name), shapes, strict=True):
                wanted = torch.Size([]) if name in rule.scalars else shape
                given = f"{name} has shape {tuple(value.shape)}, wanted {tuple(wanted)}"
                require(value.shape == wanted, rule, given)
                finite = bool(value.isfinite().all())
                require(finite, rule, f"{name} is not finite at step {t} with the defaults")


def nan_stays(rule: Rule) -> None:
    """A NaN in a gradient reaches its weight, and no other weight of an elementwise formula."""
    weights, states = begin(rule, torch.float64, rule.hypers)
    step = KernelStep(kernel(rule, torch.float64), [w.shape for w in weights])
    for t in (1, 2, 3):  # some rules use a gradient one step later
        grads = [torch.ones_like(w) for w in weights]
        grads[0][0, 0] = torch.nan
        step([weights], [grads], [states], t, [rule.hypers])
    lost = not weights[0][0, 0].isnan()
    require(not lost, rule, "a NaN gradient is lost: its weight stays a number")
    if not lower(rule).sums:
        others = sum(int(w.isnan().sum()) for w in weights) - 1
        require(others == 0, rule, f"a NaN gradient of one weight reaches {others} others")


def models_do_not_touch(rule: Rule) -> None:
    """A model's weights have the same bits alone and beside others in one launch."""
    models = [begin(rule, torch.float32, rule.hypers, scale) for scale in (1.0, 30.0, -0.1)]
    alone = [copied(model) for model in models]
    compiled = kernel(rule, torch.float32)
    shapes = [w.shape for w in models[0][0]]
    together, single = KernelStep(compiled, shapes, len(models)), KernelStep(compiled, shapes)
    for t in range(1, STEPS + 1):
        grads = [gradients(weights, t) for weights, _ in models]
        weights, states = [m[0] for m in models], [m[1] for m in models]
        together(weights, grads, states, t, [rule.hypers] * len(models))
        for (w, s), g in zip(alone, grads, strict=True):
            single([w], [g], [s], t, [rule.hypers])
    same = all(same_bits(a, b) for a, b in zip(models, alone, strict=True))
    require(same, rule, "a model's result depends on which others are in the launch")


def readout_and_ascent_fit(rule: Rule) -> None:
    """The readout changes nothing but what it returns; the ascent goes uphill."""
    model = begin(rule, torch.float64, rule.hypers)
    for t in range(1, STEPS + 1):
        grads = gradients(model[0], t)
        if rule.ascent is not None:
            _climbs(rule, model[0], grads, t)
        model = formula_step(rule, model, grads, t, rule.hypers)
        _reads_out(rule, model, t)


def _reads_out(rule: Rule, model: Model, t: int) -> None:
    before = copied(model)
    for w, state in zip(*model, strict=True):
        shown = reference_readout(rule, w, state, t, rule.hypers)
        fits = shown.shape == w.shape and bool(shown.isfinite().all())
        require(fits, rule, f"the readout at step {t} is not finite or not of the weights' shape")
    require(same_bits(before, model), rule, "the readout changes what is stored")


def _climbs(rule: Rule, weights: list[Tensor], grads: list[Tensor], t: int) -> None:
    nothing: States = [{} for _ in weights]
    points, _ = reference_step(ascent_rule(rule), weights, grads, nothing, t, rule.hypers)
    for w, g, point in zip(weights, grads, points, strict=True):
        require(point.shape == w.shape, rule, "the ascent changes the shape of the weights")
        require(((point - w) * g).sum() >= 0, rule, f"the ascent goes downhill at step {t}")
