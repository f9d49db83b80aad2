"""Generated modules on disk: reused, shared by processes, and never the reason for a failure."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from ravine.kernels import _cache, kernel
from ravine.kernels._cache import cache_folder, module_from_source
from ravine.optim import SGD
from ravine.rules import get_rule

STEP = """
import torch
from ravine.kernels import kernel
from ravine.optim import SGD
from ravine.rules import get_rule

weight = torch.nn.Parameter(torch.ones(3))
weight.grad = torch.ones(3)
SGD([weight], lr=0.5).step()
stats = kernel(get_rule("sgd"), torch.float32)._step.stats
print(weight.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def start(folder: Path, program: str = STEP) -> subprocess.Popen:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment["RAVINE_CACHE_DIR"] = str(folder)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.strip()


def test_processes_share_compiled_code_even_when_they_start_at_once(tmp_path):
    racing = [start(tmp_path), start(tmp_path)]
    for process in racing:
        assert finish(process).startswith("[0.5, 0.5, 0.5]")
    assert len(list(tmp_path.glob("ravine_sgd_*.py"))) == 1
    assert not list(tmp_path.glob("*.tmp"))
    assert finish(start(tmp_path)) == "[0.5, 0.5, 0.5] 1 0"


LOAD = """
import sys
import torch
from ravine.kernels import kernel
from ravine.rules import get_rule

compiled = kernel(get_rule("sgd"), torch.float32)
print(sum(compiled._step.stats.cache_hits.values()), "numba.np.arraymath" in sys.modules)
"""


def test_compiled_code_is_loaded_without_the_tables_that_only_compiling_needs(tmp_path):
    # Filling them is what takes the time of a warm start; arraymath is one of the many they need.
    assert finish(start(tmp_path, LOAD)) == "0 True"
    assert finish(start(tmp_path, LOAD)) == "1 False"


def test_changing_the_rate_never_recompiles():
    weight = torch.nn.Parameter(torch.ones(5))
    weight.grad = torch.ones(5)
    optimizer = SGD([weight], lr=1)  # an int: the table is float64 all the same
    for lr in (1, 0.5, 0, np.float32(0.25), torch.tensor(0.125)):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    assert len(kernel(get_rule("sgd"), torch.float32)._step.signatures) == 1
    assert weight.tolist() == [1 - 1.875] * 5


def test_conventions_that_differ_in_defaults_alone_are_compiled_once():
    of = {c: kernel(get_rule("rmsprop", c), torch.float64)._step for c in ("torch", "lecture")}
    assert of["torch"] is of["lecture"]
    momenta = {kernel(get_rule("momentum", c), torch.float64)._step for c in ("torch", "lecture")}
    assert len(momenta) == 2


def test_folder_is_the_given_one_or_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("RAVINE_CACHE_DIR", str(tmp_path / "given"))
    assert cache_folder() == tmp_path / "given"
    monkeypatch.delenv("RAVINE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "ravine"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder() == tmp_path / "home" / ".cache" / "ravine"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Move the system's temporary folder here, and return it."""
    monkeypatch.setattr(_cache.tempfile, "tempdir", str(tmp_path))
    _cache._temporary_folder.cache_clear()
    yield tmp_path
    _cache._temporary_folder.cache_clear()


def test_where_nothing_can_be_written_a_private_temporary_folder_is_used(temporary, monkeypatch):
    (temporary / "file").write_text("")
    monkeypatch.setenv("RAVINE_CACHE_DIR", str(temporary / "file" / "below"))
    folder = cache_folder()
    assert folder.parent == temporary
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert cache_folder() == folder

    def homeless() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.delenv("RAVINE_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder() == folder


def test_a_temporary_folder_that_others_can_write_is_not_trusted(temporary, monkeypatch):
    planted = temporary / f"ravine-cache-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    monkeypatch.setenv("RAVINE_CACHE_DIR", "/dev/null/below")
    assert cache_folder() != planted
    assert stat.S_IMODE(cache_folder().stat().st_mode) == 0o700


def test_threads_that_want_one_module_get_the_same_complete_one(tmp_path, monkeypatch):
    monkeypatch.setenv("RAVINE_CACHE_DIR", str(tmp_path))
    source = "import time\ntime.sleep(0.05)\nvalue = 7\n"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: module_from_source("shared", source), range(8)))
    assert {id(module) for module in found} == {id(found[0])}
    assert found[0].value == 7


def test_a_module_that_fails_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("RAVINE_CACHE_DIR", str(tmp_path))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            module_from_source("failing", "1 / 0\n")


def test_source_and_versions_each_give_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RAVINE_CACHE_DIR", str(tmp_path))
    names = {
        module_from_source("one", text, version).__name__
        for text in ("a = 1\n", "a = 2\n")
        for version in ("1", "2")
    }
    assert len(names) == 4


def test_threads_may_step_their_own_optimizers_at_once():
    def train(seed: int) -> list[float]:
        weight = torch.nn.Parameter(torch.full((40_000,), float(seed)))
        weight.grad = torch.ones(40_000)
        optimizer = SGD([weight], lr=0.5, momentum=0.5)
        for _ in range(20):
            optimizer.step()
        return [weight.min().item(), weight.max().item()]

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(train, range(4)))
    moved = train(0)[0]
    assert ends == [[seed + moved, seed + moved] for seed in range(4)]
