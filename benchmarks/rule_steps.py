"""Optimizer steps over ResNet-18's size: `ravine.optim` against torch's fastest way.

11.5 M float32 parameters in 53 tensors, two cores. The rows of the in-place add set the bytes a
step must move per second against those of `x.add_(y)`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

import ravine.optim
from _timing import Figure, Row, Side, cores, hold_to, interleaved, parser, repeated, report, row

FLOAT = 4  # bytes
ADD_MOVES = 3 * FLOAT  # x.add_(y) reads x and y and writes x


@dataclass(frozen=True)
class Case:
    """One rule as a class of the same name and arguments in `ravine.optim` and `torch.optim`.

    Args:
        name: of the row.
        class_name: of the optimizer.
        states: tensors kept per parameter tensor.
        arguments: beside the defaults.
        at_least: ratio to torch's fastest way to reach; None where the row only informs.
        fused: whether torch has a fused CPU step for it.
    """

    name: str
    class_name: str
    states: int
    arguments: dict = field(default_factory=dict)
    at_least: float | None = None
    fused: bool = True

    @property
    def moves(self) -> int:
        """Bytes per parameter a step must move: read w, g and states, write w and states."""
        return FLOAT * (2 + self.states + 1 + self.states)


CASES = [
    Case("SGD", "SGD", 0, {"lr": 1e-3}),
    Case("momentum", "SGD", 1, {"lr": 1e-3, "momentum": 0.9}),
    Case("Adagrad", "Adagrad", 1),
    Case("RMSProp", "RMSprop", 1, at_least=2.5, fused=False),
    Case("Adadelta", "Adadelta", 2, at_least=3, fused=False),
    Case("Adam", "Adam", 2, at_least=1.05),
    Case("AdamW", "AdamW", 2),
]


def shapes() -> Iterator[tuple[int, ...]]:
    """Yield the 53 tensors of ResNet-18 without its three down-sampling branches."""
    yield (64, 3, 7, 7)
    yield from [(64,), (64,)]
    inputs = 64
    for width in (64, 128, 256, 512):
        for _ in range(4):  # two blocks of two convolutions
            yield (width, inputs, 3, 3)
            yield from [(width,), (width,)]
            inputs = width
    yield from [(1000, 512), (1000,)]


def tensors(scale: float) -> list[Tensor]:
    return [torch.randn(shape) * scale for shape in shapes()]


def stepper(optimizer_class: type, arguments: dict) -> Callable[[], object]:
    """Return the step of an optimizer over tensors of its own, all with a gradient."""
    parameters = [w.requires_grad_() for w in tensors(0.05)]
    for w, g in zip(parameters, tensors(0.01), strict=True):
        w.grad = g
    return optimizer_class(parameters, **arguments).step


def torch_ways(case: Case, *, compiled: bool) -> dict[str, Callable[[], object]]:
    """Return torch's ways to step, by name."""
    make = partial(stepper, getattr(torch.optim, case.class_name))
    ways = {
        "for-loop": make(case.arguments | {"foreach": False}),
        "foreach": make(case.arguments | {"foreach": True}),
    }
    if case.fused:
        ways["fused"] = make(case.arguments | {"fused": True})
    if compiled:
        torch.compiler.reset()
        ways["torch.compile"] = torch.compile(make(case.arguments | {"foreach": True}))
    return ways


def add_step(count: int) -> Callable[[], object]:
    """Return an in-place add over so many elements."""
    x, y = torch.randn(count), torch.randn(count)
    return lambda: x.add_(y)


def add_figures(case: Case, count: int) -> dict[Figure, Callable[[], object]]:
    """Return the rows of the in-place add, each with its step.

    The add that counts touches as much memory as the step: one over the parameters alone finds
    part of them in the processor's cache, which a step with states cannot.
    """
    asked = 0.8 if case.at_least else None
    same = count * (2 + case.states) // 2
    figures = {}
    for text, elements, least in (("same memory", same, asked), ("parameters only", count, None)):
        name = f"in-place add, {text}"
        scale = case.moves / ADD_MOVES * count / elements
        figure = Figure(f"{name}, per byte", (f"{case.name}, {name}",), least, scale=scale)
        figures[figure] = add_step(elements)
    return figures


def measured(case: Case, *, quick: bool, compiled: bool) -> tuple[list[Row], dict]:
    """Return the rows of one case and the times behind them."""
    ours = f"{case.name}, Ravine"
    ways = torch_ways(case, compiled=compiled)
    adds = add_figures(case, sum(w.numel() for w in tensors(1)))
    steps = {ours: stepper(getattr(ravine.optim, case.class_name), case.arguments)}
    steps |= {f"{case.name}, {way}": step for way, step in ways.items()}
    steps |= {figure.sides[0]: step for figure, step in adds.items()}
    length = 0.1 if quick else 0.3
    sides = [Side(name, repeated(step, length)) for name, step in steps.items()]
    times = interleaved(sides, 3 if quick else 11)
    plain = [f"{case.name}, {way}" for way in ways if way != "torch.compile"]
    figures = [Figure("torch's fastest way", plain, case.at_least)]
    if compiled:
        figures.append(Figure("torch.compile of the step", [f"{case.name}, torch.compile"]))
    return [row(case.name, ours, figure, times) for figure in [*figures, *adds]], times


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--compiled", action="store_true", help="also against torch.compile of the step (minutes)"
    )
    given = options.parse_args()
    hold_to(cores())
    torch.manual_seed(0)
    rows, times = [], {}
    for case in CASES:
        more, taken = measured(case, quick=given.quick, compiled=given.compiled)
        rows += more
        times |= taken
    report("rule steps", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
