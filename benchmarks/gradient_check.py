"""The gradient check against `torch.autograd.gradcheck`, and against the model's own passes.

A full central-difference check of every parameter on the same function, both sides in float64, on
the batch that `ravine check` takes and on one to train with; the directional check of a model of
ResNet-18's size in forward+backward passes; and the peak memory of a full check against that of
one forward and backward pass.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from _timing import Figure, Row, Side, cores, hold_to, interleaved, parser, report, row
from ravine.gradients import check

PASSES = 25  # a directional check may take so many forward+backward passes
TIMES, BOUND = 4, 64 * 2**20  # a full check may take so many times their memory, or so many bytes
CHECKED, TRAINED = 16, 64  # rows that `ravine check` takes by default; a batch to train with


def mlp(batch: int, activation: Callable[[], nn.Module]) -> tuple[nn.Module, Tensor, Tensor]:
    """MLP 64-32-10, 2,410 parameters."""
    model = nn.Sequential(nn.Linear(64, 32), activation(), nn.Linear(32, 10)).double()
    return model, torch.randn(batch, 64, dtype=torch.float64), torch.randint(10, (batch,))


def cnn(batch: int) -> tuple[nn.Module, Tensor, Tensor]:
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
    return model, torch.randn(batch, 1, 16, 16, dtype=torch.float64), torch.randint(10, (batch,))


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
    """A residual network of ResNet-18's size, 11 M parameters, on eight 32x32 images."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for width, stride in zip((64, 128, 256, 512), (1, 2, 2, 2), strict=True):
        layers += [Block(inputs, width, stride), Block(width, width, 1)]
        inputs = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return model, torch.randn(8, 3, 32, 32), torch.randint(10, (8,))


MLPS = {
    f"MLP 64-32-10 {name}, batch {batch}": partial(mlp, batch, activation)
    for name, activation in (("relu", nn.ReLU), ("tanh", nn.Tanh))
    for batch in (CHECKED, TRAINED)
}
CNNS = {f"CNN tanh, batch {batch}": partial(cnn, batch) for batch in (CHECKED, TRAINED)}
MODELS = MLPS | CNNS


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
    torch.manual_seed(0)
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


def against_torch(name: str, at_least: float, rounds: int, *, warmed: bool) -> tuple[Row, dict]:
    """Return the row of a full check against `gradcheck`."""
    model, rows, y = held(name)
    count = sum(p.numel() for p in model.parameters())
    ours, theirs = f"{name}, ravine", f"{name}, gradcheck"
    sides = [
        Side(ours, partial(timed, partial(full_check, model, rows, y))),
        Side(theirs, partial(timed, partial(torch_check, model, rows, y))),
    ]
    times = interleaved(sides, rounds) if warmed else in_turn(sides, rounds)
    title = f"full check, {name}, {count:,} parameters"
    return row(title, ours, Figure("torch.autograd.gradcheck", [theirs], at_least), times), times


def in_turn(sides: list[Side], rounds: int) -> dict[str, list[float]]:
    """Time every side once per round, without the round before that is not counted.

    What takes minutes has no need of it, once something smaller has run.
    """
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for r in range(rounds):
        for side in sides if r % 2 == 0 else sides[::-1]:
            say(f"  round {r + 1} of {rounds}: {side.name}")
            times[side.name].append(side.measure())
    return times


def in_passes(rounds: int) -> tuple[Row, dict]:
    """Return the row of a directional check in forward+backward passes of its model."""
    torch.manual_seed(0)
    model, x, y = resnet()
    count = sum(p.numel() for p in model.parameters())
    ours, theirs = "ResNet-18, ravine", "ResNet-18, forward+backward"
    sides = [
        Side(ours, partial(timed, partial(directional_check, model, x, y))),
        Side(theirs, partial(timed, partial(passes, model, x, y))),
    ]
    times = interleaved(sides, rounds)
    figure = Figure(f"{PASSES} forward+backward passes", [theirs], 1.0, scale=PASSES)
    title = f"directional check, ResNet-18's size, {count:,} parameters, batch {len(x)}"
    return row(title, ours, figure, times), times


def directional_check(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Check a model along random directions."""
    found = check(model, cross_entropy, (x, y))
    if not found.ok:
        raise RuntimeError(f"the check finds errors: {found}")


def in_memory(name: str) -> Row:
    """Return the row of what a full check adds to the peak memory of a process."""
    added, plain = (peak(name, what) for what in ("check", "passes"))
    allowed = max(TIMES * plain, BOUND)
    note = f"{added / 2**20:.1f} MiB; forward+backward {plain / 2**20:.1f} MiB"
    against = f"{TIMES} forward+backward passes or {BOUND / 2**20:.0f} MiB, the larger"
    # The smallest step in which the system counts is a page.
    ratio = allowed / max(added, 4096)
    title = f"peak memory, full check, {name}"
    return Row(title, against, ratio, ratio, ratio, 1.0, None, None, note)


def peak(name: str, what: str) -> int:
    """Return the bytes that a piece of work adds to a fresh process's peak."""
    command = [sys.executable, __file__, "--peak", name, what]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def print_peak(name: str, what: str) -> None:
    """Print what the work adds to this process's peak memory."""
    work = full_check if what == "check" else passes
    model, rows, y = held(name)
    # A first small run imports what torch imports late, for convolutions 130 MB of it; that memory
    # is not the work's.
    layers = nn.Conv2d(1, 2, 2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 2)
    small = Held(nn.Sequential(*layers).double(), torch.randn(4, 1, 3, 3, dtype=torch.float64))
    work(small, torch.arange(4), torch.zeros(4).long())
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before = highest()
    work(model, rows, y)
    print(highest() - before)


def highest() -> int:
    """Return the most memory this process has held, in bytes.

    Not `getrusage`: there a process starts with the peak of the one that started it.
    """
    said = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert said is not None
    return 1024 * int(said[1])


def say(text: str) -> None:
    """Tell whoever waits what is under way."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--peak", nargs=2, metavar=("MODEL", "WORK"), help="used by itself")
    given = options.parse_args()
    hold_to(cores())
    if given.peak:
        print_peak(*given.peak)
        return
    # A gradcheck of the CNN takes minutes.
    many, few = (3, 1) if given.quick else (7, 3)
    works = [partial(against_torch, name, 10, many, warmed=True) for name in MLPS]
    works += [partial(against_torch, name, 4, few, warmed=False) for name in CNNS]
    rows, times = [], {}
    for name, work in zip(
        [*MLPS, *CNNS, "ResNet-18"], [*works, partial(in_passes, many)], strict=True
    ):
        say(name)
        line, taken = work()
        rows.append(line)
        times |= taken
    if sys.platform == "linux":
        say("peak memory")
        rows += [in_memory(name) for name in MODELS]
    report("gradient check", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
