"""Problems: model, data, loss and score, with everything random fixed by a seed."""

from ravine.core.reproducible import fix_products
from ravine.problems._data import Data
from ravine.problems._named import named_problem, problem_names
from ravine.problems._problem import Problem
from ravine.problems._sources import load_data
from ravine.problems._splits import Split

fix_products()

__all__ = ["Data", "Problem", "Split", "load_data", "named_problem", "problem_names"]
