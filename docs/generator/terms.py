"""What each name of a rule does, from `terms.toml`; settings of methods, from their class."""

import inspect
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from ravine.optim._matrix_methods import Method


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("terms.toml").read_text(encoding="utf-8"))


def tables() -> dict[str, dict[str, str]]:
    """Return the sentences by rule and name; ``"shared"`` holds those of every rule."""
    return {name: table for name, table in _file().items() if name != "methods"}


def method_terms(method: Method) -> dict[str, str]:
    """Return what each symbol in a method's formula stands for."""
    found: dict[str, str] = _file()["methods"][method.name]
    return found


def notes(method: Method) -> str:
    """Return what a method's docstring says below the formula."""
    text = (inspect.getdoc(method.optimizer) or "").partition("Args:\n")[0]
    return markdown(" ".join(text.split("\n\n", 2)[2].split()))


def term(rule: str, name: str) -> str:
    """Return what a name does in a rule.

    Raises:
        KeyError: When no table has it: a new name needs a sentence in ``terms.toml``.
    """
    own, shared = tables().get(rule, {}), tables()["shared"]
    if name not in own and name not in shared:
        raise KeyError(f"terms.toml has no sentence on {name} of {rule}")
    return own.get(name) or shared[name]


def settings(method: Method) -> dict[str, str]:
    """Return what each setting of a method does, from its class's docstring."""
    text = inspect.getdoc(method.optimizer) or ""
    arguments = text.partition("Args:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+(?:, \w+)*): (.+(?:\n {8}.+)*)", arguments, re.MULTILINE)
    return {
        name: markdown(" ".join(sentence.split()))
        for names, sentence in found
        for name in names.split(", ")
    }


def markdown(docstring: str) -> str:
    """Return a docstring's formulas, code and names of classes as Markdown."""
    text = re.sub(r":math:`([^`]+)`", r"$§\1§$", docstring)
    return text.replace("``", "`").replace("§", "`")
