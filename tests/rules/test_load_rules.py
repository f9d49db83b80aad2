"""Rules from a user's file."""

import pytest

from ravine.core.errors import SettingError
from ravine.rules import load_rules

LION = """
from ravine.rules import get_rule, rule, sign

adam = get_rule("adam")

@rule(state=("m",), bounds={"beta1": "[0, 1)", "beta2": "[0, 1)"})
def my_lion(w, g, m, *, lr=1e-4, beta1=0.9, beta2=0.99):
    return w - lr * sign(beta1 * m + (1 - beta1) * g), beta2 * m + (1 - beta2) * g

same = my_lion

@rule()
def signed(w, g, *, lr=1e-3):
    return w - lr * sign(g)
"""


def test_rules_come_in_the_order_of_the_file_without_the_built_in_ones(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(LION)
    assert [r.name for r in load_rules(path)] == ["my_lion", "signed"]
    assert load_rules(str(path))[0].hypers["beta2"] == 0.99


ONE = "from ravine.rules import rule\n@rule(name='{0}')\ndef f(w, g, *, lr=0.1):\n    return {1}\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.py", None, r"none\.py does not exist; give a Python file"),
        ("", None, "must be a file; give a Python file"),
        ("rules.txt", "x = 1", r"rules\.txt must be a Python file ending in \.py"),
        ("broken.py", "def", r"broken\.py fails: SyntaxError"),
        ("raising.py", "1 / 0", r"raising\.py fails: ZeroDivisionError: division by zero"),
        ("wrong.py", ONE.format("a b", "w"), r"wrong\.py fails: SettingError: name of a rule"),
        ("empty.py", "x = 1", r"empty\.py defines no rule; decorate a formula with @rule"),
        ("taken.py", ONE.format("adam", "w"), r"the name 'adam' is taken; choose another"),
        (
            "twice.py",
            ONE.format("a", "w") + ONE.format("a", "g").replace("def f", "def h"),
            r"the name 'a' is taken",
        ),
        (
            "branch.py",
            ONE.format("a", "w if g > 0 else g"),
            r"rule a: the formula cannot be traced",
        ),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingError, match=message):
        load_rules(tmp_path / name)
