"""The launch on a GPU: interpreted where there is none, and on one where there is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ravine.optim
from ravine.optim._gpu_launch import GpuLaunch

pytest.importorskip("triton", reason="Triton is not installed (it is for Linux)")
HERE = Path(__file__).parent
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_in_the_interpreter(tmp_path):
    """In a process of its own: Triton reads the variable when it is first imported."""
    variables = os.environ | {"TRITON_INTERPRET": "1", "RAVINE_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, str(HERE / "gpu_interpreted.py")],
        cwd=HERE.parents[1],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-1000:]


@on_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torch_on_a_gpu(dtype):
    torch.manual_seed(0)
    ours = [torch.randn(s, device="cuda", dtype=dtype).requires_grad_() for s in [(300, 7), (9,)]]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    settings = {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}
    optimizers = ravine.optim.AdamW(ours, **settings), torch.optim.AdamW(theirs, **settings)
    for _ in range(20):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert isinstance(next(iter(optimizers[0]._launches.values())), GpuLaunch)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@on_gpu
def test_a_captured_step_counts_and_reads_its_rate_anew():
    weight = torch.ones(5, device="cuda").requires_grad_()
    rate = torch.tensor(0.1, device="cuda")
    optimizer = ravine.optim.Adam([weight], lr=rate)
    weight.grad = torch.ones_like(weight)
    for _ in range(2):
        optimizer.step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    for k in range(10):
        rate.fill_(0.1 / (k + 1))
        graph.replay()
    # Adam's step at a constant gradient is its rate; capturing makes none.
    wanted = 1 - 0.2 - sum(0.1 / (k + 1) for k in range(10))
    torch.testing.assert_close(weight, torch.full_like(weight, wanted), rtol=1e-5, atol=0)
    assert float(optimizer.state[weight]["step"]) == 12
