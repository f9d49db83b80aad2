"""Seconds per step of each optimizer alone: one plain model, as the winner will be trained."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from ravine.optim import from_rule
from ravine.problems import Problem
from ravine.rules import Rule

# One round times a step of every optimizer, so that a slow moment of the machine hits all alike.
MOST_ROUNDS, FEWEST_ROUNDS, SECONDS = 50, 3, 2.0


def seconds_per_step(
    problem: Problem, runs: Mapping[str, tuple[Rule, Mapping[str, float]]], batch: int, seed: int
) -> dict[str, float]:
    """Return the seconds of a training step by optimizer.

    A step is forward, backward and update of one float32 model on one thread, with nothing else
    running in this process; loading data is not part of it. It is the fastest of up to 50, as
    other programs on the machine can only add to it. On several threads a step waits for the
    slowest one, and on a busy machine that is a time slice of the scheduler, 300 steps long.

    Args:
        problem: Gives model, loss and a batch.
        runs: Rule and hyper-parameters by optimizer.
        batch: Rows per batch.
        seed: Of weights and batch, the same for all.
    """
    steps = {name: _step(problem, *run, batch, seed) for name, run in runs.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    with _one_thread():
        for step in steps.values():
            step()  # compiles the kernel and touches the memory
        end = time.perf_counter() + SECONDS
        for count in range(MOST_ROUNDS):
            if count >= FEWEST_ROUNDS and time.perf_counter() > end:
                break
            _time_round(steps, taken)
    return {name: min(times) for name, times in taken.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _time_round(steps: Mapping[str, Callable[[], None]], taken: dict[str, list[float]]) -> None:
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        taken[name].append(time.perf_counter() - start)


def _step(
    problem: Problem, rule: Rule, hypers: Mapping[str, float], batch: int, seed: int
) -> Callable[[], None]:
    """Return a function that trains a fresh model on one batch."""
    model = problem.build(seed)
    optimizer = from_rule(rule)(model.parameters(), **hypers)
    split = problem.split(seed)
    rows = torch.from_numpy(problem.order(seed, 0, batch)[0])
    x = ((problem.data.x[rows] - split.shift) * split.scale).float()
    y = problem.data.y[rows]
    y = y.float() if y.is_floating_point() else y

    def gradient() -> torch.Tensor:
        optimizer.zero_grad()
        loss = problem.loss(model(x), y)
        loss.backward()
        return loss

    def step() -> None:
        if rule.ascent is not None:
            optimizer.step(gradient)  # takes a second one
        else:
            gradient()
            optimizer.step()

    return step
