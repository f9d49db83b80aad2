"""The gradient check against `torch.autograd.gradcheck`, and against the model's own passes.

A full central-difference check of every parameter on the same function, both sides in float64;
the directional check of a model of ResNet-18's size in forward+backward passes; and the peak
memory of a full check against that of one forward and backward pass.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from _timing import Figure, Row, Side, cores, hold_to, interleaved, parser, report, row
from ravine.gradients import check

PASSES = 25  # a directional check may take so many forward+backward passes
BOUND = 96  # MiB: a batch of points and its temporaries, whatever the model


def mlp() -> tuple[nn.Module, Tensor, Tensor]:
    """MLP 64-32-10 with ReLU, 2,410 parameters, on a batch of 8."""
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).double()
    return model, torch.randn(8, 64, dtype=torch.float64), torch.randint(10, (8,))


def cnn() -> tuple[nn.Module, Tensor, Tensor]:
    """Small CNN with 19,948 parameters, on 16x16 images; smooth, so that `gradcheck` passes."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 70),
        nn.Tanh(),
        nn.Linear(70, 10),
    ).double()
    return model, torch.randn(8, 1, 16, 16, dtype=torch.float64), torch.randint(10, (8,))


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.side: nn.Module = nn.Identity()
        if stride > 1 or inputs != width:
            self.side = nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = relu(self.norm1(self.first(x)))
        return relu(self.norm2(self.second(y)) + self.side(x))


def resnet() -> tuple[nn.Module, Tensor, Tensor]:
    """A residual network of ResNet-18's size, 11 M parameters, on 32x32 images."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for width, stride in zip((64, 128, 256, 512), (1, 2, 2, 2), strict=True):
        layers += [Block(inputs, width, stride), Block(width, width, 1)]
        inputs = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return model, torch.randn(8, 3, 32, 32), torch.randint(10, (8,))


MODELS = {"MLP 64-32-10": mlp, "CNN": cnn, "ResNet-18": resnet}


class Held(nn.Module):
    """A model with its inputs inside, called with row numbers: only parameters have gradients."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("x", x)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the model's output for some rows."""
        return self.model(self.x[rows])


def held(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a model with its inputs inside, row numbers and targets."""
    model, x, y = MODELS[name]()
    return Held(model, x), torch.arange(len(x)), y


def full_check(model: nn.Module, rows: Tensor, y: Tensor) -> None:
    """Check every entry of every parameter with Ravine."""
    found = check(model, cross_entropy, (rows, y), full=True)
    entries = sum(one.entries for one in found.checked)
    if not found.ok or entries != sum(p.numel() for p in model.parameters()):
        raise RuntimeError(f"the check is not whole: {found}")


def torch_check(model: nn.Module, rows: Tensor, y: Tensor) -> None:
    """Check the same function with torch."""
    names = [name for name, _ in model.named_parameters()]
    values = tuple(p.detach().clone().requires_grad_() for p in model.parameters())

    def loss(*parameters: Tensor) -> Tensor:
        table = dict(zip(names, parameters, strict=True))
        return cross_entropy(torch.func.functional_call(model, table, (rows,)), y)

    torch.autograd.gradcheck(loss, values)


def passes(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Make one forward and backward pass."""
    loss = cross_entropy(model(x), y)
    torch.autograd.grad(loss, list(model.parameters()))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def against_torch(name: str, at_least: float, rounds: int) -> tuple[Row, dict]:
    """Return the row of a full check against `gradcheck`."""
    parts = held(name)
    count = sum(p.numel() for p in parts[0].parameters())
    ours, theirs = f"{name}, ravine", f"{name}, gradcheck"
    sides = [
        Side(ours, partial(timed, partial(full_check, *parts))),
        Side(theirs, partial(timed, partial(torch_check, *parts))),
    ]
    times = interleaved(sides, rounds)
    title = f"full check, {name}, {count:,} parameters"
    return row(title, ours, Figure("torch.autograd.gradcheck", [theirs], at_least), times), times


def in_passes(rounds: int) -> tuple[Row, dict]:
    """Return the row of a directional check in forward+backward passes of its model."""
    model, x, y = resnet()
    ours, theirs = "ResNet-18, ravine", "ResNet-18, forward+backward"
    sides = [
        Side(ours, partial(timed, lambda: check(model, cross_entropy, (x, y)))),
        Side(theirs, partial(timed, partial(passes, model, x, y))),
    ]
    times = interleaved(sides, rounds)
    figure = Figure(f"{PASSES} forward+backward passes", [theirs], 1.0, scale=PASSES)
    return row("directional check, ResNet-18's size", ours, figure, times), times


def peak(name: str, what: str) -> int:
    """Return the bytes that a piece of work adds to a fresh process's peak."""
    command = [sys.executable, __file__, "--peak", name, what]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(name: str, what: str) -> None:
    """Print what the work adds to this process's peak memory."""
    model, x, y = MODELS[name]()
    # A first small run loads what torch loads lazily; its memory is not the work's.
    full_check(*_tiny()) if what == "check" else passes(*_tiny_plain())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if what == "check":
        full_check(Held(model, x), torch.arange(len(x)), y)
    else:
        passes(model, x, y)
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def _tiny() -> tuple[nn.Module, Tensor, Tensor]:
    model, x, y = _tiny_plain()
    return Held(model, x), torch.arange(len(x)), y


def _tiny_plain() -> tuple[nn.Module, Tensor, Tensor]:
    return nn.Linear(3, 2).double(), torch.randn(4, 3, dtype=torch.float64), torch.zeros(4).long()


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--peak", nargs=2, metavar=("MODEL", "WORK"), help="used by itself")
    given = options.parse_args()
    hold_to(cores())
    torch.manual_seed(0)
    if given.peak:
        print_peak(*given.peak)
        return
    rounds = 3 if given.quick else 7
    rows, times = [], {}
    for line, taken in (
        against_torch("MLP 64-32-10", 10, rounds),
        against_torch("CNN", 4, 3),
        in_passes(3),
    ):
        rows.append(line)
        times |= taken
    report("gradient check", rows, times, as_json=given.json)
    for name in ("MLP 64-32-10", "CNN"):
        added, plain = (peak(name, what) / 2**20 for what in ("check", "passes"))
        print(
            f"{name}: a full check adds {added:.1f} MiB to the peak, a forward+backward pass"
            f" {plain:.1f} MiB; bound: {BOUND} MiB",
            file=sys.stderr if given.json else sys.stdout,
        )


if __name__ == "__main__":
    main()
