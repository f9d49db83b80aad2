"""A population that trains nothing: outcomes by formula, so that a protocol can be followed."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ravine.population import CurvePoint, Member, Outcome, Progress

# log10 of each optimizer's best rate, and its score there
PEAKS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"sgd": (-1.0, 0.90), "momentum": (-2.0, 0.94), "adam": (-3.0, 0.96)}
)
DIVERGES_ABOVE = 3.0  # rates above never train


def outcome(member: Member, *, steps: int = 100, test: bool = False, **given: Any) -> Outcome:
    """Return what becomes of a member: better near its optimizer's peak, shifted by the seed."""
    lr = member.hypers["lr"]
    if lr > DIVERGES_ABOVE:
        return Outcome(member, status="diverged", diverged_at=7, steps=7, seconds=0.01)
    peak, top = PEAKS.get(member.optimizer, (-2.0, 0.5))
    noise = 0.001 * math.sin(member.seed * len(member.optimizer))
    score = top - 0.01 * (math.log10(lr) - peak) ** 2 + noise
    values = {"train_loss": 1 - score, "val_loss": 1 - score, "val_score": score}
    if test:
        values |= {"test_loss": 1.01 - score, "test_score": score - 0.01}
    curve = [CurvePoint(0, 0.0, math.nan, 2.3, 0.1)]
    curve += [CurvePoint(steps // 2, 0.5, 0.5, 0.5, score - 0.05)]
    curve += [CurvePoint(steps, 1.0, 1 - score, 1 - score, score)]
    return Outcome(member, "ok", None, steps, 0.01, **(values | given), curve=curve)


class FakePopulation:
    """Takes `Population`'s arguments, and finishes eight members at a time."""

    behaviour: Callable[..., Outcome] = staticmethod(outcome)

    def __init__(self, problem: Any, **settings: Any) -> None:
        self.problem, self.settings = problem, settings
        self.calls: list[tuple[list[Member], bool]] = []

    def time_step(self, rules: Sequence[Any]) -> float:
        return 1e-5

    def run(
        self, members: Sequence[Member], *, test: bool = False, stop_hopeless: bool = False
    ) -> Iterator[Progress]:
        self.calls.append((list(members), test))
        for start in range(0, len(members), 8):
            # Slots free up in any order: the last of a block is reported first.
            block = [self.behaviour(m, test=test) for m in reversed(members[start : start + 8])]
            waiting = max(0, len(members) - start - 8)
            yield Progress(block, min(8, waiting), waiting, sum(o.steps for o in block), 0.01)
