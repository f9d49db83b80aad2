"""The contract suite: built-in rules keep it, and each planted fault is found."""

import subprocess
import sys

import pytest

from ravine.rules import all_rules, get_rule, modifiers, norm, rule, sign, sqrt, total, where
from ravine.testing import check_rule

# Ill-conditioned, and with numbers per tensor.
SOME = ["rmsprop_centred", "novograd"]


@pytest.mark.parametrize("name", SOME)
def test_built_in_rules_keep_the_contract(name):
    check_rule(get_rule(name))


@pytest.mark.nightly
@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: f"{rule.name}@{rule.convention}")
def test_all_built_in_rules_keep_the_contract(rule):
    check_rule(rule)


def same(a, b):
    """Compare out of sight: in a formula's own code ``==`` is refused when the rule is made."""
    return a == b


def test_a_modified_rule_keeps_the_contract():
    check_rule(modifiers.clip_global_norm(get_rule("momentum")))


def found(faulty):
    with pytest.raises(AssertionError) as caught:
        check_rule(faulty)
    assert faulty.name in str(caught.value)
    return str(caught.value)


def test_branch_on_the_first_step():
    @rule(state=("m",))
    def started(w, g, m, *, t, lr=0.1):
        m = g if same(t, 1) else 0.9 * m + 0.1 * g
        return w - lr * m, m

    text = found(started)
    assert "at step 1 with its defaults" in text
    assert "use where" in text


def test_branch_on_a_later_step():
    @rule()
    def late(w, g, *, t, lr=0.1):
        return w - (2 * lr if same(t, 7) else lr) * g

    assert "at step 7" in found(late)


def test_branch_on_a_hyper_parameter_that_is_zero():
    @rule(bounds={"eps": "[0, inf)"})
    def guarded(w, g, *, lr=0.1, eps=0.5):
        return w - lr * (g if same(eps, 0) else g / (abs(g) + eps))

    assert "with eps=0" in found(guarded)


def test_branch_on_a_weight_that_is_zero():
    @rule()
    def skips(w, g, *, lr=0.1):
        return w if same(w, 0) else w - lr * g

    assert "cannot use ==" in found(skips)


def test_branch_on_a_gradient_that_is_zero_with_state():
    @rule(state=("v",))
    def sparse(w, g, v, *, lr=0.1):
        v = v if same(g, 0) else 0.9 * v + g**2
        return w - lr * g / (sqrt(v) + 1e-3), v

    assert "cannot use ==" in found(sparse)


@pytest.mark.parametrize("over", ["channel", "tensor", "member"])
def test_branch_on_a_gradient_that_is_zero_beside_a_sum(over):
    @rule()
    def normed(w, g, *, lr=0.1):
        return w if same(g, 0) else w - lr * g / (norm(g, over=over) + 1e-3)

    assert "cannot use ==" in found(normed)


@pytest.mark.parametrize("over", ["tensor", "member"])
def test_branch_on_a_sum_that_is_zero(over):
    @rule(scalars={"k": over})
    def scaled(w, g, k, *, lr=0.1):
        k = total(g, over=over) if same(k, 0) else 0.9 * k
        return w - lr * g * k, k

    assert "cannot use ==" in found(scaled)


def test_plain_numbers_treated_apart():
    @rule()
    def apart(w, g, *, lr=0.1):
        return w - lr * (sign(g) if isinstance(g, float) else g)

    assert "plain numbers" in found(apart)


def test_branch_that_cannot_be_traced():
    @rule()
    def branching(w, g, *, t, lr=0.1):
        return w - lr * g if t > 3 else w

    assert "cannot be traced" in found(branching)


def test_unused_hyper_parameter():
    @rule()
    def idle(w, g, *, lr=0.1, beta=0.9):
        return w - lr * g

    assert "beta has no effect" in found(idle)


def test_default_outside_its_space():
    @rule(space={"lr": "log[1e-4, 1e-2]"})
    def outside(w, g, *, lr=0.1):
        return w - lr * g

    assert "the default 0.1 of lr lies outside its space" in found(outside)


def test_space_outside_the_bounds():
    @rule(bounds={"beta": "[0, 1)"}, space={"beta": "linear[0, 1]"})
    def reaching(w, g, *, lr=0.1, beta=0.5):
        return w - lr * (1 - beta) * g

    assert "the space of beta" in found(reaching)


def test_nan_that_is_lost():
    @rule()
    def deaf(w, g, *, lr=0.1):
        return w - lr * where(g > 0, 1.0, -1.0)

    assert "NaN gradient is lost" in found(deaf)


def test_steps_that_blow_up():
    @rule()
    def rising(w, g, *, lr=0.1):
        return w / (w - w) - lr * sign(g)

    assert "is not finite at step 1" in found(rising)


def test_readout_that_is_not_finite():
    @rule(readout=lambda w, **_: w / (w - w))
    def shown(w, g, *, lr=0.1):
        return w - lr * g

    assert "the readout at step 1" in found(shown)


def test_ascent_that_goes_down():
    def down(w, g, *, rho, **_):
        return w - rho * g / (norm(g, over="member") + 1e-12)

    @rule(ascent=down)
    def timid(w, g, *, lr=0.1, rho=0.05):
        return w - lr * g

    assert "downhill" in found(timid)


@pytest.mark.nightly
def test_it_is_one_line_in_a_test_file(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import ravine\n"
        "from ravine.testing import check_rule\n\n"
        "@ravine.rule()\n"
        "def mine(w, g, *, lr=0.1):\n"
        "    return w - lr * g\n\n"
        "def test_mine():\n"
        "    check_rule(mine)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
