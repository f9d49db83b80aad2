"""The lines that a formula is printed as compute what the rule computes."""

import math

import numpy as np
import pytest
import sympy
import torch

from ravine.kernels._latex import _written
from ravine.rules import all_rules, get_rule, modifiers, reference_step
from ravine.rules._vocabulary import SumOver

SHAPE = (3, 4)
COMPARED = {
    sympy.StrictGreaterThan: np.greater,
    sympy.GreaterThan: np.greater_equal,
    sympy.StrictLessThan: np.less,
    sympy.LessThan: np.less_equal,
}
CALLED = {
    sympy.Abs: np.abs,
    sympy.exp: np.exp,
    sympy.log: np.log,
    sympy.floor: np.floor,
    sympy.sign: np.sign,
    sympy.Max: np.maximum,
    sympy.Min: np.minimum,
}


def value(node, known):
    """Evaluate an expression in plain NumPy."""
    if node in known:
        return known[node]
    if node.is_Number:
        return float(node)
    if isinstance(node, SumOver):
        x = np.broadcast_to(value(node.args[0], known), SHAPE)
        return x.sum(1, keepdims=True) if str(node.args[1]) == "channel" else x.sum()
    if isinstance(node, sympy.Piecewise):
        (a, condition), (b, _) = node.args
        sides = (value(condition.lhs, known), value(condition.rhs, known))
        return np.where(COMPARED[type(condition)](*sides), value(a, known), value(b, known))
    parts = [value(part, known) for part in node.args]
    if node.is_Add:
        return sum(parts)
    if node.is_Mul:
        return math.prod(parts)
    if node.is_Pow:
        return parts[0] ** parts[1]
    return CALLED[type(node)](*parts)


def symbol(name):
    return sympy.Symbol(name, real=True)


RULES = [*all_rules(), modifiers.cautious(modifiers.clip_norm(get_rule("adam")))]
RULES += [modifiers.centralise(modifiers.lookahead(modifiers.weight_decay(get_rule("nadam"))))]


@pytest.mark.parametrize("t", [1, 2, 5, 2000])
@pytest.mark.parametrize("chosen", RULES, ids=lambda r: f"{r.name}-{r.convention}-{len(r.hypers)}")
def test_lines_compute_the_step(chosen, t):
    rng = np.random.default_rng(t)
    hypers = {k: v + 0.01 if k == "weight_decay" else v for k, v in chosen.hypers.items()}
    arrays = {name: rng.normal(size=SHAPE) for name in ("w", "g", *chosen.state)}
    # Means of squares, and numbers such as distances, are positive.
    kept = arrays | {name: abs(rng.normal()) + 0.1 for name in chosen.scalars}
    kept = {k: abs(v) + 0.1 if k in chosen.codecs else v for k, v in kept.items()}
    if "v" in kept and "a" in kept:  # a variance must stay positive
        kept["v"] = kept["v"] + kept["a"] ** 2 + 1
    new, states = reference_step(
        chosen,
        [torch.tensor(kept["w"])],
        [torch.tensor(kept["g"])],
        [{k: torch.tensor(kept[k], dtype=torch.float64) for k in chosen.kept}],
        t,
        hypers,
    )
    wanted = {"w": new[0], **states[0]}

    lines = _written(chosen)
    known = {symbol(k): v for k, v in (kept | hypers | {"t": float(t)}).items()}
    if t == 1:  # the lines say where a state starts; the rule itself ignores what it is given
        for name in chosen.kept:
            if f"{name}_0" in lines.printed:
                start = lines.printed[f"{name}_0"].split(" = ")[1]
                known[symbol(name)] = {"1": 1.0, r"\eta": hypers["lr"]}[start]
    with np.errstate(invalid="ignore", divide="ignore"):  # parts that a branch leaves out
        for left, right in lines.values.values():
            known[left] = value(right, known)
    for name in ("w", *chosen.kept):
        if name in lines.values:
            assert torch.isfinite(wanted[name]).all(), name
            ours = np.broadcast_to(known[lines.values[name][0]], np.shape(wanted[name]))
            np.testing.assert_allclose(ours, wanted[name].numpy(), rtol=1e-11, atol=1e-13)
