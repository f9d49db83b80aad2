"""Two optimizers side by side on the same gradients."""

import io

import torch
from torch import nn

SHAPES = [(6, 4), (4, 6), (7,), (), (3, 2, 4, 5)]
MATRICES = [(6, 4), (4, 6), (5, 5), (1, 7)]


def weights(shapes, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [nn.Parameter(value.to(dtype)) for value in values]


def give(generator, *sides):
    """Give every side the same gradients: noise, and a pull towards 0."""
    for column in zip(*sides, strict=True):
        noise = torch.randn(column[0].shape, generator=generator, dtype=torch.float64)
        grad = (0.3 * noise + 0.2 * column[0].detach().double()).to(column[0].dtype)
        for parameter in column:
            parameter.grad = grad.clone()


def largest_difference(ours, theirs):
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


def run_both(make_ours, make_theirs, shapes, dtype=torch.float64, steps=100):
    """Return both sides' weights and optimizers after some steps."""
    ours, theirs = weights(shapes, dtype), weights(shapes, dtype)
    optimizers = make_ours(ours), make_theirs(theirs)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        give(generator, ours, theirs)
        for optimizer in optimizers:
            optimizer.step()
    return ours, theirs, optimizers


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def assert_exchanged(make_ours, make_theirs, shapes, towards):
    """Assert that a checkpoint of one library goes on alike in the other."""
    ours, theirs, (mine, torchs) = run_both(make_ours, make_theirs, shapes, steps=10)
    sides = {"ours": (ours, mine, make_ours), "theirs": (theirs, torchs, make_theirs)}
    first = sides["theirs" if towards == "ours" else "ours"]
    loaded = sides[towards][2](weights(shapes, seed=5))
    loaded.load_state_dict(through_a_file(first[1].state_dict()))
    others = [p for group in loaded.param_groups for p in group["params"]]
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for a, b in zip(others, first[0], strict=True):
            a.copy_(b)
    for _ in range(10):
        give(generator, first[0], others)
        first[1].step()
        loaded.step()
    assert largest_difference(first[0], others) <= 1e-12
    keys = [{i: set(s) for i, s in o.state_dict()["state"].items()} for o in (mine, torchs)]
    assert keys[0] == keys[1]
    settings = [o.state_dict()["param_groups"] for o in (mine, torchs)]
    assert settings[0] == settings[1]
