"""The paths of rules and methods on a surface, and the rates at which they are drawn."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from docs.generator.surfaces import Surface
from ravine.optim._closures_methods import CLOSURE_METHODS
from ravine.optim._matrix_methods import MATRIX_METHODS, Method
from ravine.rules import (
    Rule,
    ascent_rule,
    get_rule,
    initial_state,
    reference_readout,
    reference_step,
    rule_names,
)

# The widest range that any rule's search space covers.
_DECADES = range(-4, 3)
# Decay pulls towards 0, which is where the minimum of the ravine is.
_DECAY = 0.0
# A loss beyond this is a run that diverges; the figure would not show it.
_HOPELESS = 1e6


@dataclass(frozen=True)
class Path:
    """One run.

    Args:
        stored: Weights after each step, the start first.
        evaluated: Weights to evaluate, where they are others.
        losses: Loss of the weights to evaluate.
    """

    stored: list[tuple[float, float]]
    evaluated: list[tuple[float, float]]
    losses: list[float]

    @property
    def reads(self) -> bool:
        """Whether the weights to evaluate are others than the stored ones, beyond rounding."""
        both = zip(self.stored, self.evaluated, strict=True)
        return any(math.dist(a, b) > 1e-6 for a, b in both)

    def arrival(self, goal: float) -> int | None:
        """Return the first step after which the loss stays below the goal, if it does."""
        above = [i for i, loss in enumerate(self.losses) if not loss < goal]
        first = above[-1] + 1 if above else 0
        return first if first < len(self.losses) else None


def path(name: str, surface: Surface, rate: float | None) -> Path:
    """Return the path of a rule, in its default convention, or of a method.

    Args:
        name: Of the rule or method.
        surface: What it descends.
        rate: Its learning rate (or what takes its place); the default when None.
    """
    if name in rule_names():
        return _run(_rule_steps(get_rule(name), surface, rate), surface)
    return _run(_method_steps(METHODS[name], surface, rate), surface)


METHODS: dict[str, Method] = {**MATRIX_METHODS, **CLOSURE_METHODS}


def has_rate(name: str) -> bool:
    """Whether there is a learning rate to tune: L-BFGS searches along each direction."""
    space = get_rule(name).space if name in rule_names() else METHODS[name].space
    return "lr" in space and name != "lbfgs"


def tuned(name: str, surface: Surface) -> float | None:
    """Return the rate with the fewest steps to the goal, or else with the lowest last loss.

    Runs that leave the figure come after those that do not. First one rate per power of ten is
    tried, then two on either side of the best.
    """
    if not has_rate(name):
        return None
    costs: dict[float, tuple[bool, float, float]] = {}
    exponents: Iterable[float] = _DECADES
    for _ in range(2):
        for rate in (float(f"{10**exponent:.2g}") for exponent in exponents):
            costs[rate] = _cost(path(name, surface, rate), surface)
        best = math.log10(min(costs, key=lambda rate: costs[rate]))
        exponents = [best + i / 3 for i in (-2, -1, 1, 2)]
    return min(costs, key=lambda rate: costs[rate])


def _cost(run: Path, surface: Surface) -> tuple[bool, float, float]:
    arrival = run.arrival(surface.goal)
    finished = len(run.losses) > surface.steps
    leaves = not finished or not all(map(surface.shows, [*run.stored, *run.evaluated]))
    return leaves, math.inf if arrival is None else arrival, run.losses[-1]


Steps = Callable[[], tuple[Tensor, Tensor]]


def _run(step: tuple[Tensor, Steps], surface: Surface) -> Path:
    start, advance = step
    stored, evaluated = [_pair(start)], [_pair(start)]
    losses = [float(surface.loss(start))]
    for _ in range(surface.steps):
        weights, readout = advance()
        loss = float(surface.loss(readout))
        if not loss < _HOPELESS:
            break
        stored.append(_pair(weights))
        evaluated.append(_pair(readout))
        losses.append(loss)
    return Path(stored, evaluated, losses)


def _pair(weights: Tensor) -> tuple[float, float]:
    x, y = weights.detach().flatten().tolist()
    return x, y


def _rule_steps(rule: Rule, surface: Surface, rate: float | None) -> tuple[Tensor, Steps]:
    hypers = dict(rule.hypers) | ({} if rate is None else {"lr": rate})
    if "weight_decay" in hypers:
        hypers["weight_decay"] = _DECAY
    w = torch.tensor(surface.start, dtype=torch.float64)
    kept, t = initial_state(rule, w, hypers), 0
    start = w

    def advance() -> tuple[Tensor, Tensor]:
        nonlocal w, kept, t
        t += 1
        g = surface.gradient(w)
        if rule.ascent is not None:
            climb = reference_step(ascent_rule(rule), [w], [g], [{}], t, hypers)
            g = surface.gradient(climb[0][0])
        weights, states = reference_step(rule, [w], [g], [kept], t, hypers)
        w, kept = weights[0], states[0]
        return w, reference_readout(rule, w, kept, t, hypers)

    return start, advance


def _method_steps(method: Method, surface: Surface, rate: float | None) -> tuple[Tensor, Steps]:
    # A matrix of one row: what takes whole matrices takes this one, too.
    weights = nn.Parameter(torch.tensor([surface.start], dtype=torch.float64))
    # Which matrices are hidden layers cannot be seen in weights without a model.
    group = {"params": [weights]} | ({"use_muon": True} if _has_groups(method) else {})
    optimizer = method.optimizer([group], **_settings(method, rate))
    closure = _closure(method.name, optimizer, weights, surface)

    def advance() -> tuple[Tensor, Tensor]:
        optimizer.step(closure)
        now = weights.detach().clone()
        return now, now

    return weights.detach().clone(), advance


def _has_groups(method: Method) -> bool:
    return method.name == "muon_with_adamw"


def _settings(method: Method, rate: float | None) -> Mapping[str, Any]:
    if method.name == "lbfgs":
        # One iteration per step, with the line search, so that the figure shows each.
        return {"max_iter": 1, "max_eval": 25, "line_search_fn": "strong_wolfe"}
    decays = {"weight_decay": _DECAY} if "weight_decay" in method.defaults else {}
    return decays | ({} if rate is None else {"lr": rate})


def _closure(name: str, optimizer: Any, weights: Tensor, surface: Surface) -> Callable[[], Any]:
    if name == "levenberg_marquardt":
        return lambda: surface.residuals(weights.reshape(2))
    if name == "newton_trust_region":
        return lambda: surface.loss(weights)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = surface.loss(weights)
        loss.backward()
        return loss

    return closure
