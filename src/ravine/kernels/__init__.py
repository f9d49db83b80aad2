"""From a rule's expression to code: the CPU kernel and the printed formula."""

from ravine.kernels._kernel import DTYPES, Kernel, Plan, addresses, kernel, plan
from ravine.kernels._latex import latex
from ravine.kernels._lower import Program, lower

__all__ = ["DTYPES", "Kernel", "Plan", "Program", "addresses", "kernel", "latex", "lower", "plan"]
