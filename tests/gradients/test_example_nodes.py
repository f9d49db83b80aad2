"""The nodes of `examples/custom_nodes.py` against torch's own layers and the formulas."""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F

from ravine.gradients import check

FILE = Path(__file__).parents[2] / "examples" / "custom_nodes.py"
SPEC = importlib.util.spec_from_file_location("custom_nodes", FILE)
nodes = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(nodes)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_the_layer_is_torchs_with_the_weight_transposed():
    x, w, b, dy = drawn(6, 4), drawn(4, 3, seed=1), drawn(3, seed=2), drawn(6, 3, seed=3)
    ours = torch.autograd.grad(nodes.FullyConnected.apply(x, w, b), (x, w, b), dy)
    theirs = torch.autograd.grad(F.linear(x, w.T, b), (x, w, b), dy)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    assert torch.autograd.gradcheck(nodes.FullyConnected.apply, (x, w, b))


def test_the_hinge_is_torchs_margin_loss_times_the_classes():
    s, y = drawn(7, 5), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    theirs = F.multi_margin_loss(s, y) * 5
    ours = nodes.MulticlassHinge.apply(s, y)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        *(torch.autograd.grad(one, s)[0] for one in (ours, theirs)), rtol=1e-12, atol=1e-15
    )
    assert torch.autograd.gradcheck(lambda s: nodes.MulticlassHinge.apply(s, y), (s,))


def test_the_example_passes_its_check():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nodes.Classifier(12, 16, 5)
    x, y = drawn(8, 12).detach().float(), torch.arange(8) % 5
    report = check(model, nodes.hinge, (x, y), full=True)
    assert report.ok and not report.findings
    assert sum(one.entries for one in report.checked) == 12 * 16 + 16 + 16 * 5 + 5 + 8 * 12
