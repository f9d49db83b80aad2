"""The pages of `docs/rules` say what the code says, and their figures show what the rules do."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import ravine.optim
from docs.generator.classes import CLASSES, FAMILIES, argument
from docs.generator.drawing import figure
from docs.generator.figures import drawn
from docs.generator.index import index, modifier_names
from docs.generator.pages import page
from docs.generator.paths import METHODS, path, tuned
from docs.generator.rates import stored_rates
from docs.generator.surfaces import RAVINE, ROSENBROCK, SURFACES
from docs.generator.terms import method_terms, settings, tables, term
from ravine.kernels import latex
from ravine.kernels._latex import symbols
from ravine.rules import all_rules, get_rule, modifiers, rule_names

FOLDER = Path(__file__).parents[2] / "docs" / "rules"
NAMES = [*rule_names(), *METHODS]
AGAIN = "the page is old: run python -m docs.generator"
# One of each kind of path: plain, with a state, with a readout, with a second gradient, a method.
DRAWN = ["sgd", "adam", "schedule_free_sgd", "sam", "newton_trust_region"]


def committed(name):
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_page_is_what_the_code_says(name):
    section = re.search(r"## Path\n\n(.*?)\n(?:\n## |\Z)", committed(name), re.DOTALL)
    assert section is not None
    assert page(name, section[1]) == committed(name), AGAIN


def test_index_is_what_the_code_says():
    assert index() == committed("README"), AGAIN


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", text)]


def same_figure(name):
    svg = (FOLDER / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert re.sub(r"[\d.-]+", "", drawn(name)) == re.sub(r"[\d.-]+", "", svg), AGAIN
    # A tenth of a pixel is the last digit, and the last digit may be rounded either way.
    assert numbers(drawn(name)) == pytest.approx(numbers(svg), abs=0.11), AGAIN
    assert page(name) == committed(name), AGAIN


@pytest.mark.parametrize("name", DRAWN)
def test_figure_shows_the_rule(name):
    same_figure(name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [n for n in NAMES if n not in DRAWN])
def test_every_figure_shows_its_rule(name):
    same_figure(name)


def test_no_page_or_figure_is_left_over():
    assert {p.stem for p in FOLDER.glob("*.md")} == {*NAMES, "README"}
    assert {p.stem for p in (FOLDER / "figures").iterdir()} == set(NAMES)


@pytest.mark.parametrize("file", sorted((FOLDER / "figures").iterdir()), ids=lambda f: f.stem)
def test_figure_is_small_and_well_formed(file):
    assert file.stat().st_size < 40_000
    assert ElementTree.parse(file).getroot().tag.endswith("svg")


def test_every_name_of_every_rule_has_a_sentence_and_no_sentence_is_left_over():
    used = {"shared": {"w", "g"}}
    for rule in all_rules():
        first = {f"{name}_0" for name in rule.kept}
        for name in {"g", *symbols(rule)} - first:
            assert term(rule.name, name).endswith(".")
            table = rule.name if name in tables().get(rule.name, {}) else "shared"
            used.setdefault(table, set()).add(name)
    for name, sentences in tables().items():
        assert set(sentences) == used[name], name


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_of_a_method_has_a_sentence(name):
    assert set(METHODS[name].defaults) == set(settings(METHODS[name])) - {"params"}


@pytest.mark.parametrize("name", METHODS)
def test_every_symbol_explained_is_in_the_formula_of_its_method(name):
    method = METHODS[name]
    for symbol in method_terms(method):
        assert symbol in method.formula
    assert {"W", "G"} & set(method_terms(method))


def test_every_rule_has_a_family_a_class_and_rates():
    listed = [name for names in FAMILIES.values() for name in names]
    assert sorted(listed) == sorted(NAMES)
    assert set(CLASSES) == set(NAMES) == set(stored_rates())
    assert {"weight_decay", "cautious", "lookahead", "maximize"} <= set(modifier_names())


@pytest.mark.parametrize("name", NAMES)
def test_use_makes_the_optimizer_of_the_page(name):
    code = re.search(r"```python\n(.*?)```", committed(name), re.DOTALL)
    model = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
    scope = {"model": model}
    exec(code[1], scope)
    optimizer = scope["optimizer"]
    if name in METHODS:
        assert type(optimizer) is METHODS[name].optimizer
    else:
        # The direction, which some rules read as a setting, is in no formula of a page.
        group = {k: v for k, v in optimizer.param_groups[0].items() if k != "maximize"}
        rule = optimizer._rule_of(group)
        # Groups without decay share this rule with the others, whose sums they are part of.
        plain = get_rule(name)
        together = modifiers.weight_decay(plain) if name == "dadapt_adam" else plain
        assert latex(rule) == latex(together)
        arguments = {
            argument(get_rule(name), setting).partition("[")[0] for setting in get_rule(name).hypers
        }
        assert arguments <= set(optimizer.param_groups[0])
        assert type(optimizer) is getattr(ravine.optim, CLASSES[name][0])


def test_tuning_finds_the_stored_rate():
    assert tuned("sgd", RAVINE) == stored_rates()["sgd"]["ravine"]


def test_gradient_descent_takes_the_path_that_algebra_gives():
    run = path("sgd", RAVINE, 0.03)
    assert len(run.stored) == RAVINE.steps + 1
    for t in (1, 7, 40):
        wanted = (-4.0 * (1 - 0.03) ** t, 1.5 * (1 - 25 * 0.03) ** t)
        assert run.stored[t] == pytest.approx(wanted, rel=1e-12)


def test_newton_solves_a_quadratic_in_steps_of_its_radius():
    # Radius 1, doubled after each good step: 1 + 2 + 4 covers the distance of 4.3.
    assert path("newton_trust_region", RAVINE, None).arrival(1e-12) == 3


@pytest.mark.parametrize("surface", SURFACES.values(), ids=list(SURFACES))
def test_contours_have_their_level_and_the_minimum_is_0(surface):
    assert float(surface.loss(torch.tensor(surface.minimum).double())) == 0
    for level in surface.levels:
        for point in surface.contour(level):
            found = float(surface.loss(torch.tensor(point, dtype=torch.float64)))
            assert found == pytest.approx(level, rel=1e-9)


def test_rosenbrock_is_the_textbooks():
    w = torch.tensor(ROSENBROCK.start, dtype=torch.float64)
    assert float(ROSENBROCK.loss(w)) == pytest.approx(24.2)
    assert ROSENBROCK.gradient(w).tolist() == pytest.approx([-215.6, -88.0])


def test_a_path_that_leaves_the_figure_stays_drawable():
    wild = path("sgd", RAVINE, 1.0)
    svg = figure("wild", [(RAVINE, "wild", wild, wild)])
    assert len(wild.stored) < RAVINE.steps  # it diverged, and the run ended
    assert max(map(abs, numbers(re.sub(r"#\w+", "", svg)))) < 2100
