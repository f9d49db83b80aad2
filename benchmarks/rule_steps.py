"""One step of every rule over ResNet-18's size: against memory, torch and other libraries.

11.5 M float32 parameters in 53 tensors, two cores. The rows of the in-place add set the bytes a
step must move per second against those of `x.add_(y)`. Rules with sums over weights read some
arrays twice; their rows only inform. Other libraries are measured where they are installed. All
sides of a rule step over the same weights and gradients: where tensors happen to lie in memory
makes a difference of a tenth.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from _rule_cases import (
    ELSEWHERE_AT_LEAST,
    FLOAT,
    FUSED_AT_LEAST,
    IN_TORCH,
    compared,
    elementwise,
    moves,
    other_ways,
    ours,
    torch_ways,
)
from _timing import Figure, Row, Side, cores, hold_to, interleaved, parser, repeated, report, row
from ravine.rules import get_rule

ADD_MOVES = 3 * FLOAT  # x.add_(y) reads x and y and writes x
ADD_AT_LEAST = 0.8

# Figures of one rule, each with the sides that have to run for it.
Figures = list[tuple[Figure, dict[str, Callable[[], object]]]]


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


def weights() -> list[Tensor]:
    """Return parameters, all with a gradient."""
    parameters = [w.requires_grad_() for w in tensors(0.05)]
    for w, g in zip(parameters, tensors(0.01), strict=True):
        w.grad = g
    return parameters


def add_step(count: int) -> Callable[[], object]:
    """Return an in-place add over so many elements."""
    x, y = torch.randn(count), torch.randn(count)
    return lambda: x.add_(y)


def add_figures(name: str, count: int) -> Figures:
    """Return the rows of the in-place add.

    The add that counts touches as much memory as the step: one over the parameters alone finds
    part of them in the processor's cache, which a step with states cannot.
    """
    rule = get_rule(name)
    asked = ADD_AT_LEAST if elementwise(rule) else None
    sizes = {"same memory": (count * (2 + len(rule.state)) // 2, asked)}
    if rule.state:
        sizes["parameters only"] = (count, None)
    figures = []
    for text, (elements, least) in sizes.items():
        side = f"in-place add, {text}"
        scale = moves(rule) / ADD_MOVES * count / elements
        figure = Figure(f"{side}, per byte", (f"{name}, {side}",), least, scale=scale)
        figures.append((figure, {f"{name}, {side}": add_step(elements)}))
    return figures


def torch_figures(name: str, parameters: list[Tensor], *, compiled: bool) -> Figures:
    """Return the rows of torch's own steps, where torch has the rule."""
    known = IN_TORCH.get(name)
    if known is None:
        return []
    steps = {f"{name}, {way}": make(parameters).step for way, make in torch_ways(known).items()}
    figures = [(Figure("torch's fastest way", tuple(steps), known.at_least), steps)]
    if known.fused:
        figures.append((Figure("torch fused", (f"{name}, torch fused",), FUSED_AT_LEAST), {}))
    if compiled:
        torch.compiler.reset()
        side = f"{name}, torch.compile"
        step = torch.compile(torch_ways(known)["torch foreach"](parameters).step)
        figures.append((Figure("torch.compile of the step", (side,)), {side: step}))
    return figures


def other_figures(name: str, parameters: list[Tensor]) -> Figures:
    """Return a row for each other library that has a rule which torch has not."""
    figures: Figures = []
    for library, ways in other_ways(name).items():
        text = f"{library}'s fastest way"
        if isinstance(ways, str):
            figures.append((Figure(text, (), ELSEWHERE_AT_LEAST, ((library, ways),)), {}))
        else:
            steps = {f"{name}, {way}": make(parameters).step for way, make in ways.items()}
            figures.append((Figure(text, tuple(steps), ELSEWHERE_AT_LEAST), steps))
    return figures


def measured(name: str, *, quick: bool, compiled: bool) -> tuple[list[Row], dict]:
    """Return the rows of one rule and the times behind them."""
    mine = f"{name}, Ravine"
    parameters = weights()
    steps: dict[str, Callable[[], object]] = {mine: ours(name)(parameters).step}
    found = [
        *torch_figures(name, parameters, compiled=compiled),
        *other_figures(name, parameters),
        *add_figures(name, sum(w.numel() for w in parameters)),
    ]
    for _, more in found:
        steps |= more
    length = 0.05 if quick else 0.12
    sides = [Side(side, repeated(step, length)) for side, step in steps.items()]
    times = interleaved(sides, 3 if quick else 9)
    return [row(name, mine, figure, times) for figure, _ in found], times


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--rules", nargs="+", choices=compared(), metavar="NAME", help="only these rules"
    )
    options.add_argument(
        "--compiled", action="store_true", help="also against torch.compile of the step (minutes)"
    )
    given = options.parse_args()
    hold_to(cores())
    torch.manual_seed(0)
    rows, times = [], {}
    for name in given.rules or compared():
        more, taken = measured(name, quick=given.quick, compiled=given.compiled)
        rows += more
        times |= taken
    report("rule steps", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
