"""The printed formulas: each must read as a textbook prints it."""

# ruff: noqa: E501  (a formula is printed on one line)

import re

import pytest
from expecttest import assert_expected_inline

from ravine.kernels import latex
from ravine.kernels._latex import symbols
from ravine.kernels._latex_points import latex_ascent, latex_readout
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
v_t = \begin{cases} \mu v_{t-1} + \left(1 - \tau\right) g_t & \text{if } t > 1 \\ g_t & \text{otherwise} \end{cases}
w_t = w_{t-1} - \eta v_t
""",
    )


def test_nesterov():
    assert_expected_inline(
        printed(get_rule("nesterov")),
        r"""
v_t = \begin{cases} \mu v_{t-1} + \left(1 - \tau\right) g_t & \text{if } t > 1 \\ g_t & \text{otherwise} \end{cases}
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
\mathrm{step}_t = \frac{\sqrt{u_{t-1} + \varepsilon} g_t}{\sqrt{v_t + \varepsilon}}
u_t = \rho u_{t-1} + \left(1 - \rho\right) \mathrm{step}_t^{2}
w_t = w_{t-1} - \eta \, \mathrm{step}_t
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
\hat{v}_t = \frac{v_{\mathrm{max},t}}{1 - \beta_2^{t}}
w_t = w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon}
""",
    )


def test_clipped_adam_with_coupled_decay():
    assert_expected_inline(
        printed(modifiers.clip_global_norm(modifiers.weight_decay(get_rule("adam")))),
        r"""
\tilde{g}_t = \min\left(1, \frac{c}{\lVert g_t \rVert + 10^{-6}}\right) g_t
d_t = \tilde{g}_t + \lambda w_{t-1}
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) d_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) d_t^{2}
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
\mathrm{ema\ g}_t = \beta_3 \, \mathrm{ema\ g}_{t-1} + \left(1 - \beta_3\right) g_t
\mathrm{velocity}_t = \mathrm{velocity}_{t-1} + 10^{-4} \, \mathrm{mean}_{\mathrm{tensor}} \left(\mathrm{ema\ g}_t\right) + 0.25 \, \mathrm{sign}\left(g_t\right) \exp\left(- \left\lvert g_t \right\rvert\right)
m_{2,t} = 2 m_{2,t-1}
\mathrm{trust}_t = \frac{c_{\mathrm{trust}} \, \lVert w_{t-1} \rVert_{\mathrm{tensor}}}{\sum \left(\left\lvert g_t \right\rvert\right)}
w_t = w_{t-1} - \frac{\eta \, \mathrm{trust}_t \, \mathrm{velocity}_t}{1 - \beta_3^{t}}
""",
    )


def test_first_values_that_only_the_first_step_sets():
    assert_expected_inline(
        printed(get_rule("asgd")),
        r"""
\mu_0 = 1
\eta_0 = \eta
w_t = \left(1 - \lambda \eta_{t-1}\right) w_{t-1} - \eta_{t-1} g_t
\mathrm{ax}_t = \mathrm{ax}_{t-1} + \mu_{t-1} \left(w_t - \mathrm{ax}_{t-1}\right)
\eta_t = \frac{\eta}{\left(1 + \lambda \eta t\right)^{\alpha}}
\mu_t = \frac{1}{\max\left(1, t - t_0\right)}
""",
    )


def test_branches_with_several_cases():
    assert_expected_inline(
        printed(get_rule("rprop")),
        r"""
\mathrm{previous}_t = \begin{cases} 0 & \text{if } g_t \, \mathrm{previous}_{t-1} < 0 \\ g_t & \text{otherwise} \end{cases}
\mathrm{factor}_t = \begin{cases} \eta^{+} & \text{if } g_t \, \mathrm{previous}_{t-1} > 0 \\ \eta^{-} & \text{if } g_t \, \mathrm{previous}_{t-1} < 0 \\ 1 & \text{otherwise} \end{cases}
\mathrm{step\ size}_t = \min\left(\mathrm{step\ max}, \max\left(\mathrm{step\ min}, \mathrm{step\ size}_{t-1} \, \mathrm{factor}_t\right)\right)
\mathrm{step}_t = \begin{cases} \mathrm{step\ size}_t & \text{if } \mathrm{previous}_t > 0 \\ - \mathrm{step\ size}_t & \text{if } \mathrm{previous}_t < 0 \\ 0 & \text{otherwise} \end{cases}
w_t = w_{t-1} - \mathrm{step}_t
""",
    )


def test_nadam():
    assert_expected_inline(
        printed(get_rule("nadam")),
        r"""
\mu_{\mathrm{product},0} = 1
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\mu_t = \beta_1 \left(1 - 0.5 \cdot {0.96}^{t \psi}\right)
\mu_{\mathrm{product},t} = \mu_{\mathrm{product},t-1} \mu_t
\mu_{\mathrm{next},t} = \beta_1 \left(1 - 0.5 \cdot {0.96}^{\left(t + 1\right) \psi}\right)
\hat{m}_t = \frac{\mu_{\mathrm{next},t} m_t}{1 - \mu_{\mathrm{product},t} \mu_{\mathrm{next},t}} + \frac{\left(1 - \mu_t\right) g_t}{1 - \mu_{\mathrm{product},t}}
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
w_t = w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon}
""",
    )


def test_radam():
    assert_expected_inline(
        printed(get_rule("radam")),
        r"""
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\mathrm{limit} = \frac{2}{1 - \beta_2} - 1
\mathrm{length}_t = \mathrm{limit} - \frac{2 t \beta_2^{t}}{1 - \beta_2^{t}}
\mathrm{above}_t = \left(\mathrm{length}_t - 4\right) \left(\mathrm{length}_t - 2\right) \mathrm{limit}
\mathrm{rate}_t = \sqrt{\frac{\mathrm{above}_t}{\max\left(10^{-30}, \left(\mathrm{limit} - 4\right) \left(\mathrm{limit} - 2\right) \mathrm{length}_t\right)}} \sqrt{1 - \beta_2^{t}}
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
d_t = \begin{cases} \frac{\mathrm{rate}_t \, \hat{m}_t}{\sqrt{v_t} + \varepsilon} & \text{if } \mathrm{length}_t > 5 \\ \hat{m}_t & \text{otherwise} \end{cases}
w_t = w_{t-1} - \eta d_t
""",
    )


def test_ademamix():
    assert_expected_inline(
        printed(get_rule("ademamix")),
        r"""
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
\mathrm{first} = \log\left(\max\left(10^{-8}, \beta_1\right)\right)
\mathrm{last} = \log\left(\max\left(10^{-8}, \beta_3\right)\right)
\mathrm{share}_t = \min\left(1, \frac{t}{\max\left(1, T_{\mathrm{warm}}\right)}\right)
\mathrm{kept}_t = \begin{cases} \exp\left(\frac{\mathrm{first} \, \mathrm{last}}{\left(1 - \mathrm{share}_t\right) \mathrm{last} + \mathrm{share}_t \, \mathrm{first}}\right) & \text{if } t < T_{\mathrm{warm}} \\ \beta_3 & \text{otherwise} \end{cases}
\mathrm{slow}_t = \mathrm{kept}_t \, \mathrm{slow}_{t-1} + \left(1 - \mathrm{kept}_t\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
w_t = w_{t-1} - \frac{\eta \left(\hat{m}_t + \alpha \, \mathrm{share}_t \, \mathrm{slow}_t\right)}{\sqrt{\hat{v}_t} + \varepsilon}
""",
    )


def test_lars():
    assert_expected_inline(
        printed(get_rule("lars")),
        r"""
\mathrm{ratio}_t = \frac{c_{\mathrm{trust}} \, \lVert w_{t-1} \rVert_{\mathrm{tensor}}}{\max\left(10^{-30}, \lVert g_t \rVert_{\mathrm{tensor}} + \lambda \lVert w_{t-1} \rVert_{\mathrm{tensor}}\right)}
d_t = \begin{cases} \mathrm{ratio}_t & \text{if } \min\left(\lVert g_t \rVert_{\mathrm{tensor}}, \lVert w_{t-1} \rVert_{\mathrm{tensor}}\right) > 0 \\ 1 & \text{otherwise} \end{cases}
v_t = \mu v_{t-1} + \eta d_t \left(g_t + \lambda w_{t-1}\right)
w_t = w_{t-1} - v_t
""",
    )


def test_lamb():
    assert_expected_inline(
        printed(get_rule("lamb")),
        r"""
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
\mathrm{update}_t = \frac{\hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon} + \lambda w_{t-1}
d_t = \begin{cases} \frac{\lVert w_{t-1} \rVert_{\mathrm{tensor}}}{\max\left(10^{-30}, \lVert \mathrm{update}_t \rVert_{\mathrm{tensor}}\right)} & \text{if } \lVert w_{t-1} \rVert_{\mathrm{tensor}} > 0 \\ 1 & \text{otherwise} \end{cases}
w_t = w_{t-1} - \eta d_t \, \mathrm{update}_t
""",
    )


def test_schedule_free_adamw():
    assert_expected_inline(
        printed(get_rule("schedule_free_adamw")),
        r"""
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\mathrm{rate}_t = \eta \min\left(1, \frac{t}{\max\left(1, T_{\mathrm{warm}}\right)}\right)
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
\mathrm{direction}_t = \frac{g_t}{\sqrt{\hat{v}_t} + \varepsilon} + \lambda w_{t-1}
z_t = z_{t-1} - \mathrm{rate}_t \, \mathrm{direction}_t
\eta_{\mathrm{max},t} = \max\left(\mathrm{rate}_t, \eta_{\mathrm{max},t-1}\right)
\mathrm{weight}_t = t^{r} \eta_{\mathrm{max},t}^{p_{\mathrm{lr}}}
\mathrm{weight\ sum}_t = \mathrm{weight\ sum}_{t-1} + \mathrm{weight}_t
\mathrm{share}_t = \frac{\mathrm{weight}_t}{\mathrm{weight\ sum}_t}
w_t = w_{t-1} + \mathrm{share}_t \left(z_{t-1} - w_{t-1}\right) - \mathrm{rate}_t \left(1 - \beta_1 \left(1 - \mathrm{share}_t\right)\right) \mathrm{direction}_t
""",
    )


def test_prodigy():
    assert_expected_inline(
        printed(get_rule("prodigy")),
        r"""
m_t = \beta_1 m_{t-1} + d_{t-1} \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + d_{t-1}^{2} \left(1 - \beta_2\right) g_t^{2}
\tilde{\beta}_3 = \begin{cases} \beta_3 & \text{if } \beta_3 > 0 \\ \sqrt{\beta_2} & \text{otherwise} \end{cases}
\mathrm{scale}_t = \frac{d_{t-1} d_{t-1}}{d_0}
s_t = \tilde{\beta}_3 s_{t-1} + \mathrm{scale}_t \, \eta g_t
\mathrm{numerator}_t = \tilde{\beta}_3 \, \mathrm{numerator}_{t-1} + \mathrm{scale}_t \, \sum \left(\eta g_t \left(w_0 - w_{t-1}\right)\right)
\mathrm{estimate}_t = \frac{d_{\mathrm{coef}} \, \mathrm{numerator}_t}{\max\left(10^{-30}, \sum \left(\left\lvert s_t \right\rvert\right)\right)}
d_{\mathrm{max},t} = \max\left(\mathrm{estimate}_t, d_{\mathrm{max},t-1}\right)
\mathrm{left}_t = \begin{cases} d_{t-1} & \text{if } d_{t-1} > d_0 \\ \max\left(\mathrm{estimate}_t, d_{t-1}\right) & \text{otherwise} \end{cases}
d_t = \min\left(d_{\mathrm{max},t}, \mathrm{left}_t \, \Gamma\right)
w_t = w_{t-1} - d_{t-1} \eta \left(\lambda w_{t-1} + \frac{m_t}{\sqrt{v_t} + d_t \varepsilon}\right)
""",
    )


def test_lookahead():
    assert_expected_inline(
        printed(get_rule("lookahead")),
        r"""
m_t = \beta_1 m_{t-1} + \left(1 - \beta_1\right) g_t
v_t = \beta_2 v_{t-1} + \left(1 - \beta_2\right) g_t^{2}
\hat{m}_t = \frac{m_t}{1 - \beta_1^{t}}
\hat{v}_t = \frac{v_t}{1 - \beta_2^{t}}
\mathrm{fast}_t = w_{t-1} - \frac{\eta \hat{m}_t}{\sqrt{\hat{v}_t} + \varepsilon}
\mathrm{slow}_t = \begin{cases} \mathrm{slow}_{t-1} + \alpha \left(\mathrm{fast}_t - \mathrm{slow}_{t-1}\right) & \text{if } t - K \left\lfloor{\frac{t}{K}}\right\rfloor < 0.5 \\ \mathrm{slow}_{t-1} & \text{otherwise} \end{cases}
w_t = \begin{cases} \mathrm{slow}_t & \text{if } t - K \left\lfloor{\frac{t}{K}}\right\rfloor < 0.5 \\ \mathrm{fast}_t & \text{otherwise} \end{cases}
""",
    )


def test_cautious_centralised_descent():
    assert_expected_inline(
        printed(modifiers.cautious(modifiers.centralise(get_rule("sgd")))),
        r"""
\tilde{g}_t = g_t - \mathrm{mean}_{\mathrm{channel}} \left(g_t\right)
\mathrm{new}_t = w_{t-1} - \eta \tilde{g}_t
\mathrm{update}_t = \mathrm{new}_t - w_{t-1}
\mathrm{agrees}_t = \begin{cases} 1 & \text{if } \mathrm{update}_t \, g_t < 0 \\ 0 & \text{otherwise} \end{cases}
\mathrm{share}_t = \max\left(10^{-3}, \mathrm{mean}_{\mathrm{tensor}} \left(\mathrm{agrees}_t\right)\right)
w_t = w_{t-1} + \frac{\mathrm{update}_t \, \mathrm{agrees}_t}{\mathrm{share}_t}
""",
    )


def test_points_beside_the_stored_weights():
    free, sharp = get_rule("schedule_free_sgd"), get_rule("sam")
    assert latex_readout(free) == (r"w_t + \left(\frac{1}{\beta} - 1\right) \left(w_t - z_t\right)")
    assert latex_ascent(sharp) == (r"w_{t-1} + \frac{\rho g_t}{\lVert g_t \rVert + 10^{-12}}")
    assert latex_ascent(free) == latex_readout(sharp) == ""


def test_every_name_of_a_formula_has_a_symbol():
    names = symbols(get_rule("nadam"))
    assert names["momentum_decay"] == r"\psi"
    assert names["mu_product"] == r"\mu_{\mathrm{product},t}"
    assert names["mu_next"] == r"\mu_{\mathrm{next},t}"


def test_shared_parts_take_linear_time():
    @rule()
    def doubling(w, g, *, lr=0.1):
        for _ in range(60):
            g = g * g + w
        return w - lr * g

    # As a tree the formula would have 2^60 nodes.
    assert len(latex(doubling)) == 61


def test_lines_are_keyed_by_what_they_give():
    assert list(latex(get_rule("adam"))) == ["m", "v", "m_hat", "v_hat", "w"]
    assert list(latex(get_rule("adadelta"))) == ["v", "step", "u", "w"]
    assert next(iter(latex(modifiers.weight_decay(get_rule("adam"))))) == "g_tilde"


def test_a_shared_part_does_not_take_the_letter_of_a_state():
    @rule(state=("d",))
    def distance(w, g, d, *, lr=0.1):
        product = ((g + d) * (g - d),)  # in a tuple the part has no name of its own
        return w - lr * product[0], d + product[0] * product[0]

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
