"""From a rule's expression to code: the CPU and CUDA kernels and the printed formula."""

from ravine.kernels._cache import load_lightly
from ravine.kernels._kernel import DTYPES, Kernel, Plan, addresses, kernel, plan
from ravine.kernels._latex import latex
from ravine.kernels._lower import Program, lower
from ravine.kernels._native import address_of, torch_function
from ravine.kernels._prepared import Prepared
from ravine.kernels._triton_kernel import TRITON_DTYPES
from ravine.kernels._triton_launch import CudaLaunch, cuda_launch

__all__ = [
    "DTYPES",
    "TRITON_DTYPES",
    "CudaLaunch",
    "Kernel",
    "Plan",
    "Prepared",
    "Program",
    "address_of",
    "addresses",
    "cuda_launch",
    "kernel",
    "latex",
    "load_lightly",
    "lower",
    "plan",
    "torch_function",
]
