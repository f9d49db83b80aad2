"""Many trainings as one program: the public face of the population."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from math import inf
from numbers import Integral, Real
from time import perf_counter
from typing import Any

import torch

from ravine.core.errors import SettingError
from ravine.core.machine import core_count
from ravine.kernels import DTYPES, kernel
from ravine.population._block import Block, example
from ravine.population._compile import compiled, one_thread
from ravine.population._members import Member, Progress
from ravine.population._memory import CACHE_BYTES, bytes_per_slot, rows_within
from ravine.population._model import functions_of, stacked, stacked_gradient
from ravine.population._run import Event, Runner
from ravine.population._single import Single
from ravine.population._stackable import why_not_stackable
from ravine.population._updates import Budget, hypers_at
from ravine.population._workers import can_fork, run_workers
from ravine.problems import Problem
from ravine.rules import Rule, ascent_rule
from ravine.schedules import Schedule, get_schedule

# Throughput per core is flat between 32 and 64 slots for small models. Larger ones run fastest
# while a block stays near the cache, down to a few slots that share the cost of Python.
MOST_SLOTS = 48
FEW_SLOTS = 4
# Evaluations of a member on its way, when they are cheap beside training.
EVALUATIONS = 20
# A timing lasts until either is reached: long enough to settle, short for slow models.
TIMED_STEPS, TIMED_SECONDS = 200, 0.3


class Population:
    """Trains members of one problem, many at once.

    A member's result depends on its rule, hyper-parameters and seed alone: not on the other
    members, nor on the slot or the time it got, bit for bit. Two limits: without a C++ compiler
    ``BatchNorm1d`` on [B, C] sums the last slots in another order, so last digits may differ there;
    and what a model keeps in Python attributes, not in buffers, is shared by all its members.

    Args:
        problem: What the members train on.
        batch: Rows per step, ``"full"``, or None for the problem's default.
        epochs: Passes over the training rows, or None for the problem's default.
        schedule: The learning rate's, or its text; None for the problem's default.
        states: Most states that a rule of a member keeps per weight.
        largest: Most members that will be run at once; fewer need fewer slots.
        memory_gb: Memory for weights, states and activations of all slots, > 0.
        dtype: ``torch.float32`` or ``torch.float64``.
        workers: Number of processes; None means one per core. One where none can be forked.
        notice: Called with a sentence when something runs in another way than expected.

    Raises:
        SettingError: When a setting is unknown or outside its bounds.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        batch: int | str | None = None,
        epochs: int | None = None,
        schedule: str | Schedule | None = None,
        states: int = 2,
        largest: int | None = None,
        memory_gb: float = 2.0,
        dtype: torch.dtype = torch.float32,
        workers: int | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        if dtype not in DTYPES:
            raise SettingError(f"dtype must be torch.float32 or torch.float64, got {dtype!r}")
        self.problem, self.dtype, self.notice = problem, dtype, notice
        self.budget = _budget(problem, batch, epochs, schedule)
        processes = core_count() if workers is None else _integer("workers", workers, 1)
        self.workers = processes if can_fork() else 1
        self._states = _integer("states", states, 0)
        self._memory = _gigabytes(memory_gb) * 2**30 / self.workers
        self._largest = None if largest is None else _integer("largest", largest, 1)
        self._block: Block | Single | None = None

    @property
    def slots(self) -> int:
        """Slots of one worker's block."""
        return self._prepared().slots

    def run(
        self, members: Sequence[Member], *, test: bool = False, stop_hopeless: bool = False
    ) -> Iterator[Progress]:
        """Train members and report at every evaluation.

        Args:
            members: In the order in which they shall begin, each with an id of its own.
            test: Whether to evaluate members on the test rows at their end.
            stop_hopeless: Whether to end members whose validation loss and score, at half of
                their steps or later, are no better than at their start.

        Yields:
            What happened since the last evaluation.

        Raises:
            SettingError: At once, when two members share an id, or a rule has too many states.
            RuntimeError: When an earlier run has neither ended nor been closed.
        """
        members = list(members)
        ids = [m.id for m in members]
        if len(set(ids)) < len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise SettingError(f"members must have ids of their own, got {twice} twice")
        self._check_states({m.rule for m in members})
        for member in {m.rule: m for m in members}.values():
            hypers_at(member, 0, self.budget)  # raises where the schedule does not fit the rule
        return self._run(members, test, stop_hopeless)

    def _run(self, members: list[Member], test: bool, stop_hopeless: bool) -> Iterator[Progress]:
        with one_thread():
            block = self._idle()
            self._note_views({m.rule for m in members})
            self._compile_kernels({m.rule for m in members})

            def job(numbers: Iterator[int]) -> Iterator[Event]:
                torch.set_num_threads(1)
                source = (members[n] for n in numbers)
                for event in Runner(block, source, test, stop_hopeless).events():
                    yield _without_members(event)

            with closing(run_workers(job, len(members), self.workers)) as events:
                yield from self._progress(members, events)

    def time_step(self, rules: Sequence[Rule]) -> float:
        """Return the seconds that a step of one member takes, all workers busy.

        Args:
            rules: Rules that share the slots evenly.

        Raises:
            SettingError: When a rule has too many states.
            RuntimeError: When a run has neither ended nor been closed.
        """
        self._check_states(set(rules))
        with one_thread():
            block = self._idle()
            self._compile_kernels(set(rules))
            count = block.slots * self.workers
            members = [
                Member(i, "timed", rules[i % len(rules)], rules[i % len(rules)].check({}), i % 3)
                for i in range(count)
            ]
            # All workers fill their slots first, so that they are timed side by side.
            share = block.slots

            def job(numbers: Iterator[int]) -> Iterator[float]:
                torch.set_num_threads(1)
                worker = next(numbers)
                yield _timed(block, members[worker * share : (worker + 1) * share])

            seconds = list(run_workers(job, self.workers, self.workers))
        return max(seconds) / count

    def _prepared(self) -> Block | Single:
        if self._block is None:
            self._block = self._make_block()
        return self._block

    def _idle(self) -> Block | Single:
        block = self._prepared()
        if block.occupied():
            raise RuntimeError("a run of this population goes on; exhaust or close it first")
        return block

    def _check_states(self, rules: set[Rule]) -> None:
        for rule in rules:
            if len(rule.state) > self._states:
                raise SettingError(
                    f"states must be >= {len(rule.state)}, what {rule.name} keeps per weight,"
                    f" got {self._states}"
                )

    def _make_block(self) -> Block | Single:
        per_slot = bytes_per_slot(self.problem, self.budget.batch, self._states, self.dtype)
        per_row = per_slot.evaluation_row
        reason = why_not_stackable(self.problem, self.dtype)
        if reason is not None:
            self.notice(f"the model cannot be stacked, so members train one by one ({reason})")
            rows = rows_within(self._memory, per_row)
            return Single(self.problem, self.budget, self.dtype, rows)
        near_cache = max(FEW_SLOTS, int(CACHE_BYTES / per_slot.training))
        slots = max(1, min(MOST_SLOTS, near_cache, int(self._memory / per_slot.training)))
        if per_slot.training > self._memory:
            self.notice(
                f"one member takes about {per_slot.training / 2**30:.1f} GiB in each of"
                f" {self.workers} workers, more than memory_gb allows; give it more, fewer"
                " workers, or a smaller batch"
            )
        if self._largest is not None:
            slots = max(1, min(slots, -(-self._largest // self.workers)))
        functions = functions_of(self.problem, self.dtype)
        gradient = stacked_gradient(functions)
        evaluation = stacked(functions.evaluate)
        rows = _equal_pieces(self.problem, rows_within(self._memory, per_row * slots))
        make = (gradient, evaluation, self.budget, slots, self.dtype, self._states, rows)
        block = Block(functions, *make)
        with one_thread():
            block.gradient = compiled(gradient, example(block, self.budget.batch), self.notice)
            if block.gradient is not gradient:
                block.evaluation = compiled(evaluation, example(block, rows), self.notice)
        return block

    def _note_views(self, rules: set[Rule]) -> None:
        """Say so where weights are evaluated with the statistics of other weights."""
        names = sorted(rule.name for rule in rules if rule.readout is not None)
        buffers = dict(self.problem.build(0).named_buffers())
        if names and any(name.endswith("running_mean") for name in buffers):
            self.notice(
                f"{', '.join(names)}: evaluated weights differ from those that gradients are taken"
                " at, while BatchNorm's running statistics belong to the latter"
            )

    def _compile_kernels(self, rules: set[Rule]) -> None:
        # Before workers are forked, so that none of them has to.
        for rule in rules:
            kernel(rule, self.dtype)
            if rule.ascent is not None:
                kernel(ascent_rule(rule), self.dtype)

    def _progress(self, members: Sequence[Member], events: Iterator[Event]) -> Iterator[Progress]:
        by_id = {m.id: m for m in members}
        waiting, running = len(members), 0
        for event in events:
            finished = [replace(o, member=by_id[o.member]) for o in event.finished]  # type: ignore[index]
            waiting -= event.started
            running += event.started - len(finished)
            yield Progress(finished, running, waiting, event.member_steps, event.seconds)


def _budget(
    problem: Problem, batch: int | str | None, epochs: int | None, schedule: str | Schedule | None
) -> Budget:
    size = problem.batch_size(batch)
    per_epoch = problem.steps_per_epoch(size)
    passes = problem.epochs if epochs is None else _integer("epochs", epochs, 1)
    steps = passes * per_epoch
    every = max(1, -(-steps // _evaluations(problem, steps * size)))
    chosen = get_schedule(problem.schedule if schedule is None else schedule)
    with suppress(KeyError):  # it may change what each rule has; the rate alone is tried here
        chosen(0, steps, {"lr": 1.0})  # raises here when it does not fit so many steps
    return Budget(size, per_epoch, steps, every, chosen)


def _evaluations(problem: Problem, trained_rows: int) -> int:
    """Return how often to evaluate, so that it costs about a fifth of training at the most.

    A row in evaluation costs a little less than half of a row in training.
    """
    rows = len(problem.evaluation_rows(0, "validation"))
    return min(EVALUATIONS, max(2, trained_rows // (2 * rows))) if rows else EVALUATIONS


def _equal_pieces(problem: Problem, most: int) -> int:
    """Return the size of equal pieces of the rows to evaluate; a rest may be left over."""
    parts = [len(problem.evaluation_rows(0, part)) for part in ("validation", "test")]
    rows = parts[0] or parts[1]
    return max(1, rows // max(1, -(-rows // most)))


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise SettingError(f"{name} must be an integer >= {least}, got {value!r}")
    return int(value)


def _gigabytes(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < inf:
        raise SettingError(f"memory_gb must be a number > 0, got {value!r}")
    return float(value)


def _without_members(event: Event) -> Event:
    """Name members by id only: rules are functions, which cannot be sent between processes."""
    bare: list[Any] = [replace(o, member=o.member.id) for o in event.finished]  # type: ignore[arg-type]
    return event._replace(finished=bare)


def _timed(block: Block | Single, members: Sequence[Member]) -> float:
    """Return the seconds that a step of all members takes."""
    for slot, member in enumerate(members):
        block.put(slot, member)
    try:
        block.arrange()
        block.train(2)
        begin, steps, seconds = perf_counter(), 0, 0.0
        while steps < TIMED_STEPS and seconds < TIMED_SECONDS:
            block.train(10)
            steps, seconds = steps + 10, perf_counter() - begin
        return seconds / steps
    finally:
        for slot in block.occupied():
            block.take_out(slot)
