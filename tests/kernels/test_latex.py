"""The printed formulas: each must read as a textbook prints it."""

# ruff: noqa: E501  (a formula is printed on one line)

import re

import pytest
from expecttest import assert_expected_inline

from ravine.kernels import latex
from ravine.rules import (
    Rule,
    absolute,
    all_rules,
    exp,
    get_rule,
    mean,
    modifiers,
    norm,
    rule,
    sign,
    total,
)


@rule(state=("ema_g", "velocity", "m2"))
def own(w, g, ema_g, velocity, m2, *, t, lr=0.1, beta3=0.5, trust_coefficient=0.3):
    ema_g = beta3 * ema_g + (1 - beta3) * g
    velocity = velocity + 1e-4 * mean(ema_g, over="tensor") + 0.25 * sign(g) * exp(-absolute(g))
    trust = trust_coefficient * norm(w, over="tensor") / total(absolute(g), over="member")
    return w - lr * trust * velocity / (1 - beta3**t), ema_g, velocity, m2 * 2.0


def printed(chosen: Rule) -> str:
    return "\n{}\n".format("\n".join(latex(chosen).values()))


def test_sgd():
    assert_expected_inline(
        printed(get_rule("sgd")),
        r"""
w_t = w_{t-1} - \eta g_t
""",
    )


def test_momentum():
    assert_expected_inline(
        printed(get_rule("momentum")),
        r"""
v_t = \begin{cases} \mu v_{t-1} + \left(1 - \tau\right) g_t & \text{for}\: t > 1 \\g_t & \text{otherwise} \end{cases}
w_t = w_{t-1} - \eta v_t
""",
    )


def test_nesterov():
    assert_expected_inline(
        printed(get_rule("nesterov")),
        r"""
v_t = \begin{cases} \mu v_{t-1} + \left(1 - \tau\right) g_t & \text{for}\: t > 1 \\g_t & \text{otherwise} \end{cases}
w_t = w_{t-1} - \eta \left(g_t + \mu v_t\right)
""",
    )


def test_adagrad():
    assert_expected_inline(
        printed(get_rule("adagrad")),
        r"""
v_t = v_{t-1} + g_t^{2}
w_t = w_{t-1} - \frac{\eta g_t}{\left(1 + \left(t - 1\right) \kappa\right) \left(\sqrt{v_t} + \varepsilon\right)}
""",
    )


def test_adadelta():
    assert_expected_inline(
        printed(get_rule("adadelta")),
        r"""
v_t = \rho v_{t-1} + \left(1 - \rho\right) g_t^{2}
d_t = \frac{\sqrt{u_{t-1} + \varepsilon} g_t}{\sqrt{v_t + \varepsilon}}
u_t = \rho u_{t-1} + \left(1 - \rho\right) d_t^{2}
w_t = w_{t-1} - \eta d_t
""",
    )


def test_rmsprop():
    assert_expected_inline(
        printed(get_rule("rmsprop")),
        r"""
v_t = \beta v_{t-1} + \left(1 - \beta\right) g_t^{2}
w_t = w_{t-1} - \frac{\eta g_t}{\sqrt{v_t} + \varepsilon}
""",
    )


def test_adam():
    assert_expected_inline(
        printed(get_rule("adam")),
        r"""
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
w_t = w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon}
""",
    )


def test_adamw():
    assert_expected_inline(
        printed(get_rule("adamw")),
        r"""
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
w_t = \left(1 - \eta \lambda\right) w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon}
""",
    )


def test_lecture_nesterov():
    assert_expected_inline(
        printed(get_rule("nesterov", "lecture")),
        r"""
v_t = \gamma v_{t-1} + \eta g_t
w_t = w_{t-1} - \eta g_t - \gamma v_t
""",
    )


def test_amsgrad():
    assert_expected_inline(
        printed(get_rule("amsgrad")),
        r"""
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
v_{\mathrm{max},t} = \max\left(v_{\mathrm{max},t-1}, v_t\right)
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
\hat{v}_{\mathrm{max},t} = \frac{v_{\mathrm{max},t}}{1 - \beta_2^{t}}
w_t = w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_{\mathrm{max},t}} + \varepsilon}
""",
    )


def test_clipped_adam_with_coupled_decay():
    assert_expected_inline(
        printed(modifiers.clip_global_norm(modifiers.weight_decay(get_rule("adam")))),
        r"""
\tilde{g}_t = \min\left(1, \frac{c}{\lVert g_t \rVert + 10^{-6}}\right) g_t + \lambda w_{t-1}
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) \tilde{g}_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) \tilde{g}_t^{2}
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
w_t = w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon}
""",
    )


def test_maximized_momentum():
    assert_expected_inline(
        printed(modifiers.maximize(get_rule("momentum", "lecture"))),
        r"""
v_t = \gamma v_{t-1} - \eta g_t
w_t = w_{t-1} - v_t
""",
    )


def test_own_names_reductions_and_functions():
    assert_expected_inline(
        printed(own),
        r"""
\mathrm{ema}_{\mathrm{g},t} = \beta_{3} \mathrm{ema}_{\mathrm{g},t-1} + \left(1 - \beta_{3}\right) g_t
\mathrm{velocity}_t = \mathrm{velocity}_{t-1} + \frac{10^{-4} \sum_{\mathrm{tensor}} \left(\mathrm{ema}_{\mathrm{g},t}\right)}{n_{\mathrm{tensor}}} + 0.25 \operatorname{sign}{\left(g_t \right)} e^{- \left|{g_t}\right|}
m_{2,t} = 2 m_{2,t-1}
w_t = w_{t-1} - \frac{\eta \mathrm{trust\ coefficient} \lVert w_{t-1} \rVert_{\mathrm{tensor}} \mathrm{velocity}_t}{\left(1 - \beta_{3}^{t}\right) \sum \left(\left|{g_t}\right|\right)}
""",
    )


def test_lines_are_keyed_by_what_they_give():
    assert list(latex(get_rule("adam"))) == ["m", "v", "m_hat", "v_hat", "w"]
    assert list(latex(get_rule("adadelta"))) == ["v", "d", "u", "w"]
    assert next(iter(latex(modifiers.weight_decay(get_rule("adam"))))) == "g_tilde"


def test_a_shared_part_does_not_take_the_letter_of_a_state():
    @rule(state=("d",))
    def distance(w, g, d, *, lr=0.1):
        step = (g + d) * (g - d)
        return w - lr * step, d + step * step

    assert latex(distance) == {
        "e": r"e_t = \left(g_t + d_{t-1}\right) \left(g_t - d_{t-1}\right)",
        "d": "d_t = d_{t-1} + e_t e_t",
        "w": r"w_t = w_{t-1} - \eta e_t",
    }


@pytest.mark.parametrize("chosen", [*all_rules(), own], ids=repr)
def test_braces_match_and_no_symbol_has_two_subscripts(chosen):
    for line in latex(chosen).values():
        depth = 0
        for brace in re.findall(r"(?<!\\)[{}]", line):
            depth += 1 if brace == "{" else -1
            assert depth >= 0
        assert depth == 0
        assert not re.search(r"_(\w|\{[^{}]*\})_", line), line
