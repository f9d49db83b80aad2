"""Triton's kernels where there is no GPU: interpreted, and compiled for one but not run."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from ravine.core.errors import SettingError
from ravine.kernels._triton_kernel import TritonKernel, interpreted, triton_kernel
from ravine.kernels._triton_launch import cuda_launch
from ravine.rules import all_rules, get_rule
from tests.kernels.cases import CLIPPED, modified, name
from tests.kernels.triton_interpreted import words

triton = pytest.importorskip("triton", reason="Triton is not installed (it is for Linux)")
HERE = Path(__file__).parent


def test_in_the_interpreter(tmp_path):
    """In a process of its own: Triton reads the variable when it is first imported."""
    variables = os.environ | {"TRITON_INTERPRET": "1", "RAVINE_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, HERE / "triton_interpreted.py"],
        cwd=HERE.parents[1],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-1000:]


# Which C type each argument of a kernel points to; there is no other argument.
POINTERS = {
    **dict.fromkeys(("_rows", "_scalars", "_partial", "_sums"), "*fp64"),
    **dict.fromkeys(("_tensors", "_chunks", "_spans", "_owners"), "*i64"),
}


def compiled_for_a_gpu(kernel: TritonKernel, function: str, *, aligned: bool = True) -> Counter:
    """Compile one function of a kernel for a GPU and count the machine's instructions."""
    from triton.backends.compiler import GPUTarget  # noqa: PLC0415  (Triton may be missing)
    from triton.compiler import ASTSource  # noqa: PLC0415

    code = getattr(kernel._module, function)
    real = "*fp64" if kernel.dtype == torch.float64 else "*fp32"
    types = POINTERS | {"_constants": real, "_aligned": "constexpr"}
    signature = {argument: types[argument] for argument in code.arg_names}
    constants = {"_aligned": aligned} if "_aligned" in signature else {}
    # As for tensors of torch, which begin at multiples of 16 bytes.
    borders = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(signature) if n != "_aligned"}
    source = ASTSource(code, signature, constants, borders)
    warps = 4 if function.startswith("chunks") else 1
    target = GPUTarget("cuda", 90, 32)
    built = triton.compile(source, target=target, options={"num_warps": warps})
    words = (line.split() for line in built.asm["ptx"].splitlines())
    return Counter(next((w for w in line if not w.startswith("@")), "") for line in words)


def functions(kernel: TritonKernel) -> list[str]:
    """Return the names of a kernel's functions, in order."""
    stages = range(len(kernel.program.stages))
    share = ["share"] if kernel.program.scalars else []
    return [f"{part}_{stage}" for stage in stages for part in ("rows", "chunks")] + share


@pytest.fixture(autouse=True)
def compiler(monkeypatch, tmp_path):
    """Compile anew, and leave no files behind."""
    if interpreted():
        pytest.skip("TRITON_INTERPRET is set: there is no compiler in this process")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


CASES = [
    (modified(get_rule("adam"), *CLIPPED), torch.float32, None),
    (get_rule("adamw"), torch.bfloat16, torch.float32),
    (words, torch.float64, None),
]


@pytest.mark.parametrize(("chosen", "dtype", "states"), CASES, ids=str)
def test_kernels_compile_for_a_gpu(chosen, dtype, states):
    kernel = triton_kernel(chosen, dtype, states)
    for function in functions(kernel):
        assert compiled_for_a_gpu(kernel, function)["ret;"] >= 1


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("chosen", all_rules(), ids=name)
def test_every_rule_compiles_for_a_gpu(chosen, dtype):
    kernel = triton_kernel(chosen, dtype)
    for function in functions(kernel):
        assert compiled_for_a_gpu(kernel, function)["ret;"] >= 1


def test_aligned_chunks_are_read_and_written_sixteen_bytes_at_a_time():
    kernel = triton_kernel(get_rule("adam"), torch.float32)
    wide, narrow = (
        compiled_for_a_gpu(kernel, "chunks_0", aligned=aligned) for aligned in (True, False)
    )
    # 1024 elements of four arrays by 128 threads, four at a time; three are written.
    assert wide["ld.global.v4.b32"] == 4 * 2
    assert wide["st.global.v4.b32"] == 3 * 2
    assert narrow["ld.global.v4.b32"] == 0


def test_chunks_compute_in_single_precision_and_round_to_nearest():
    found = compiled_for_a_gpu(triton_kernel(get_rule("adam"), torch.float32), "chunks_0")
    assert not [instruction for instruction in found if "f64" in instruction]
    assert found["div.rn.f32"] > 0
    assert found["sqrt.rn.f32"] > 0
    assert not [instruction for instruction in found if ".approx" in instruction]


def test_half_precision_is_rounded_to_nearest():
    """The interpreter cuts digits off, so its tests cannot tell."""
    kernel = triton_kernel(get_rule("adam"), torch.bfloat16)
    found = compiled_for_a_gpu(kernel, "chunks_0")
    stored = {i for i in found if i.startswith("cvt.") and "bf16" in i and i.endswith(".f32")}
    assert stored
    assert all(i.startswith("cvt.rn.") for i in stored)
    assert found["div.rn.f32"] > 0  # computed in single precision


def test_rows_compute_in_double_precision():
    kernel = triton_kernel(modified(get_rule("adam"), *CLIPPED), torch.float32)
    found = compiled_for_a_gpu(kernel, "rows_1")
    arithmetic = ("add.", "sub.", "mul.", "div.", "fma.", "sqrt.")
    single = [i for i in found if i.startswith(arithmetic) and "f32" in i]
    assert not single
    assert found["sqrt.rn.f64"] == 2  # of the norm, and of the correction of v


def test_without_a_gpu_parameters_on_the_cpu_are_refused():
    rows, scalars = np.array([[0.0, 0.1]]), np.zeros((1, 0))
    with pytest.raises(SettingError, match="parameters must be on a CUDA device, got cpu"):
        cuda_launch(get_rule("sgd"), [torch.ones(3)], [torch.ones(3)], {}, scalars, rows)


def test_other_dtypes_are_refused():
    with pytest.raises(SettingError, match=r"dtype must be one of torch\.float32"):
        triton_kernel(get_rule("sgd"), torch.int32)
    with pytest.raises(SettingError, match=r"state_dtype must be torch\.float64 or"):
        triton_kernel(get_rule("adam"), torch.float64, torch.bfloat16)


def test_no_number_of_a_step_is_an_argument():
    """Arguments are tables; a number as argument would be compiled in, or copied by each launch."""
    kernel = triton_kernel(words, torch.float32)
    for function in functions(kernel):
        names = getattr(kernel._module, function).arg_names
        assert set(names) <= {*POINTERS, "_constants", "_aligned"}
