"""Ravine: which optimizer, at which settings, and what is the evidence?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ravine.core.version import __version__

if TYPE_CHECKING:
    from ravine import gradients, optim, plot, schedules, testing
    from ravine._compare import Study, compare
    from ravine.core.errors import DataError, ModelError, RavineError, SettingError
    from ravine.problems import Data, Problem, load_data, named_problem, problem_names
    from ravine.rules import Rule, get_rule, rule, rule_names

__all__ = [
    "Data",
    "DataError",
    "ModelError",
    "Problem",
    "RavineError",
    "Rule",
    "SettingError",
    "Study",
    "__version__",
    "compare",
    "get_rule",
    "gradients",
    "load_data",
    "named_problem",
    "optim",
    "plot",
    "problem_names",
    "rule",
    "rule_names",
    "schedules",
    "testing",
]

# Imported when first used: `import ravine` loads neither torch nor pandas.
_HOMES = {
    "ravine._compare": ("Study", "compare"),
    "ravine.core.errors": ("DataError", "ModelError", "RavineError", "SettingError"),
    "ravine.problems": ("Data", "Problem", "load_data", "named_problem", "problem_names"),
    "ravine.rules": ("Rule", "get_rule", "rule", "rule_names"),
}
_MODULES = ("gradients", "optim", "plot", "schedules", "testing")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"ravine.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
