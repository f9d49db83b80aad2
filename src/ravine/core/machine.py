"""What a study ran on: processor, memory and the versions of the packages that computed it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

# The packages whose version can change a number in a study.
_PACKAGES = ("ravine", "torch", "numba", "numpy")


def machine() -> dict[str, str | int | float | None]:
    """Describe the machine: `cpu` (name), `cores`, `memory_gb` and torch's `threads`.

    `cores` counts those this process may use. `memory_gb` (GiB, installed) is None where the
    system does not tell.

    >>> sorted(machine())
    ['cores', 'cpu', 'memory_gb', 'threads']
    """
    return {
        "cpu": _cpu_name(),
        "cores": core_count(),
        "memory_gb": _memory_gb(),
        "threads": torch.get_num_threads(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages a study's numbers depend on.

    >>> list(versions())
    ['ravine', 'python', 'torch', 'numba', 'numpy']
    """
    found = {package: version(package) for package in _PACKAGES}
    return {"ravine": found.pop("ravine"), "python": platform.python_version(), **found}


def _cpu_name() -> str:
    # platform.processor() is empty on most Linux systems; the kernel's own list has the name.
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def core_count() -> int:
    """Return the number of cores that this process may use."""
    # A container or a batch system may grant fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gb() -> float | None:
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    return round(size / 2**30, 1)
