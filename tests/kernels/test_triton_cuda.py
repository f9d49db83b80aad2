"""Triton's kernels on a GPU, where there is one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ravine.kernels._triton_launch import CudaLaunch, cuda_launch
from ravine.rules import Rule, get_rule
from tests.kernels.cases import CLIPPED, formulas, modified, name
from tests.kernels.triton_interpreted import BORDERS, run_double, words

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

# Whole chunks and parts of them, and enough tensors that their rows fill several warps.
SHAPES = [(1000, 1000), (1024,), (7,), (), (0,), *[(33,)] * 60]


def tensors(seed: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
    return [x.to("cuda", dtype) for x in drawn]


def launched(
    chosen: Rule, weights: list[Tensor], grads: list[Tensor], **hypers: float
) -> CudaLaunch:
    values = chosen.check(hypers)
    rows = np.array([[0.0, *(values[n] for n in chosen.hypers)]] * len(weights))
    states = {n: [torch.zeros_like(w) for w in weights] for n in chosen.state}
    return cuda_launch(chosen, weights, grads, states, np.zeros((len(weights), 0)), rows)


@pytest.mark.parametrize("chosen", [*formulas(), words], ids=name)
def test_every_rule_equals_its_reference(chosen):
    run_double(chosen, BORDERS, device="cuda")


@pytest.mark.parametrize("modifiers", [CLIPPED, ("centralise",)], ids=str)
def test_sums_equal_their_reference(modifiers):
    run_double(modified(get_rule("adam"), *modifiers), [(64, 2048), (5,), (3, 7)], device="cuda")


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str
)
def test_equals_torch_fused_over_100_steps(dtype, tolerance):
    ours, grads = tensors(0, dtype), tensors(1, dtype)
    theirs = [w.clone().requires_grad_() for w in ours]
    launch = launched(get_rule("adamw"), ours, grads, lr=0.01, weight_decay=0.1, eps=1e-4)
    fused = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1, eps=1e-4, fused=True)
    for k in range(100):
        new = [g * (1 + k % 7) for g in tensors(2 + k % 5, dtype)]
        launch.point_at(new)
        launch.step()
        for w, g in zip(theirs, new, strict=True):
            w.grad = g
        fused.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=tolerance, atol=tolerance)


def test_a_replayed_graph_counts_its_steps_and_reads_rates_from_the_device():
    chosen = modified(get_rule("adam"), *CLIPPED)
    grads = tensors(1, torch.float32)
    weights = [tensors(0, torch.float32) for _ in range(2)]
    captured, eager = (launched(chosen, w, grads) for w in weights)
    captured.step()  # compiles, which a capture must not
    eager.step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured.step()
    for k in range(10):
        rate = torch.full((), 0.1 / (k + 1), dtype=torch.float64, device="cuda")
        for launch in (captured, eager):
            launch.rows[:, 1 + list(chosen.hypers).index("lr")] = rate
        graph.replay()
        eager.step()
    assert (captured.rows[:, 0] == 11).all()
    assert all(map(torch.equal, *weights))
    assert not torch.equal(weights[0][0], tensors(0, torch.float32)[0])


def test_steps_wait_for_nothing_and_compile_nothing_new(monkeypatch):
    import triton  # noqa: PLC0415  (it may be missing where there is no GPU)

    chosen = modified(get_rule("adam"), *CLIPPED)
    launch = launched(chosen, tensors(0, torch.float32), tensors(1, torch.float32))
    launch.step()
    compiled = []
    hook = lambda **given: compiled.append(given)  # noqa: E731
    monkeypatch.setattr(triton.knobs.runtime, "jit_post_compile_hook", hook)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for k in range(1, 5):
            launch.set_hypers(launch._hypers * (1 - 0.1 * k))
            launch.point_at([g.clone() for g in launch._columns[1]])
            launch.step()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert not compiled
