"""Programs: what is hoisted out of the loop, and that nothing is computed twice."""

import re

import numpy as np
import pytest
import torch

from ravine.kernels import kernel, lower
from ravine.kernels._numba_source import numba_source
from ravine.rules import get_rule, rule, where
from tests.kernels.cases import Model, formulas, kernel_step, modified, name


def operations(rule_) -> int:
    """Count the operations per weight."""
    lines = [line for stage in lower(rule_).stages for line in stage.lines]
    return sum(len(re.findall(r" (?:[*/+-]|\*\*) | if |sqrt|abs|exp|sign", line)) for line in lines)


def test_numbers_are_hoisted_out_of_the_loop():
    # m: 2 products, 1 sum; v: g^2 more; sqrt and quotient of v_hat, + eps, quotient, - : Adam's 12.
    assert operations(get_rule("adam")) <= 13
    [stage] = lower(get_rule("adam")).stages
    assert not any("beta" in line or " t" in line for line in stage.lines)


def test_shared_parts_are_computed_once():
    [stage] = lower(get_rule("amsgrad", "paper")).stages
    assert sum("sqrt" in line for line in stage.lines) == 1
    # The step, which u and w need, and in it two roots.
    [stage] = lower(get_rule("adadelta")).stages
    assert sum("sqrt" in line for line in stage.lines) == 2
    assert sum(" / " in line for line in stage.lines) == 1


@pytest.mark.parametrize("chosen", formulas(), ids=name)
def test_every_line_is_used_and_named_once(chosen):
    for stage in lower(modified(chosen, "weight_decay", "clip_global_norm")).stages:
        names = [line.split(" = ")[0] for line in stage.lines]
        assert len(set(names)) == len(names)
        read = " ".join([*(line.split(" = ")[1] for line in stage.lines), *stage.results.values()])
        assert all(re.search(rf"\b{n}\b", read) for n in names)


def test_bias_correction_is_computed_in_double_for_single_precision_weights():
    """1 - 0.999999^1 has no correct digit but one in float32."""
    adam = get_rule("adam")
    hypers = adam.check({"beta2": 1 - 1e-6, "eps": 0.0, "lr": 0.5})
    model = Model.random(adam, np.random.default_rng(0), [(9,)], torch.float32, [hypers])
    start = model.weights[0].clone()
    kernel_step(kernel(adam, torch.float32), [model], [[torch.full((9,), 3.0)]], [1])
    torch.testing.assert_close(start - model.weights[0], torch.full((9,), 0.5), rtol=1e-6, atol=0)


def test_state_that_a_rule_leaves_alone_or_sets_to_a_number():
    @rule(state=("kept", "filled", "count"))
    def odd(w, g, kept, filled, count, *, lr=0.1):
        return w - lr * g * kept, kept, lr * 2, count + 1

    rng = np.random.default_rng(1)
    model = Model.random(odd, rng, [(4,)], torch.float64, [dict(odd.hypers)])
    model.states[0]["kept"] += 3.0
    start = model.weights[0].clone()
    kernel_step(kernel(odd, torch.float64), [model], [[torch.ones(4).double()]], [1])
    torch.testing.assert_close(model.weights[0], start - 0.3 * torch.ones(4).double())
    for n, value in (("kept", 3.0), ("filled", 0.2), ("count", 1.0)):
        assert torch.equal(model.states[0][n], torch.full((4,), value, dtype=torch.float64))


def test_a_deeply_shared_formula_is_lowered_without_repeating_work():
    @rule()
    def deep(w, g, *, lr=0.1):
        x = g
        for _ in range(40):
            x = x * (1.5 - 0.5 * x * x)
        return w - lr * x

    assert operations(deep) < 260


def test_source_of_a_branch_on_the_step_holds_no_python_value():
    source = numba_source(lower(get_rule("momentum")), "momentum", "float32", "0")
    assert " if c" in source
    compile(source, "generated", "exec")


def test_where_refuses_what_python_decides():
    def is_first(t):  # out of the formula's own code, where == is refused at once
        return t == 1

    @rule(name="first")
    def first(w, g, *, t, lr=0.1):
        return where(is_first(t), w, w - lr * g)

    with pytest.raises(ValueError, match="where compares values with <, <=, > or >="):
        lower(first)
