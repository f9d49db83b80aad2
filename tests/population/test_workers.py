"""Worker processes: what they yield, and how they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch

from ravine.core.errors import SettingError
from ravine.population import Population, WorkerError, _workers
from ravine.population._workers import can_fork, run_workers
from ravine.problems import Problem
from ravine.rules import get_rule
from tests.population.making import finish, member, told, uncompiled, vectors
from tests.population.models import Branching

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are forked on Linux only")


def _squares(numbers):
    for number in numbers:
        yield number, number**2, os.getpid()


def _endless(numbers):
    for number in numbers:
        while True:
            yield number


def _nobody_left():
    # Joined before the generator ends, so nothing has to be waited for.
    return multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_number_is_worked_on_once(workers):
    results = list(run_workers(_squares, 50, workers))
    assert sorted(r[:2] for r in results) == [(n, n**2) for n in range(50)]
    processes = {r[2] for r in results}
    assert len(processes) <= workers
    assert (os.getpid() in processes) == (workers == 1)
    assert _nobody_left()


def test_without_fork_the_job_runs_here(monkeypatch):
    monkeypatch.setattr(_workers, "can_fork", lambda: False)
    assert {r[2] for r in run_workers(_squares, 5, 2)} == {os.getpid()}


def test_an_exception_in_a_worker_is_raised_here():
    def job(numbers):
        for number in numbers:
            if number == 3:
                raise SettingError("three is too many")
            yield number

    with pytest.raises(SettingError, match=r"^three is too many$"):
        list(run_workers(job, 10, 2))
    assert _nobody_left()


def test_an_exception_that_cannot_be_sent_is_described():
    class Local(Exception):
        """Pickle looks classes up by name and does not find this one."""

    def job(numbers):
        yield from ()
        raise Local("of all things")

    with pytest.raises(WorkerError, match=r"^Local: of all things$"):
        list(run_workers(job, 2, 2))


@pytest.mark.parametrize("after", [0, 3])
def test_a_killed_worker_is_an_error_that_names_memory(after):
    def job(numbers):
        for number in numbers:
            if number >= after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield number

    with pytest.raises(WorkerError, match=r"killed, most likely because memory ran out; give"):
        list(run_workers(job, 10, 2))
    assert _nobody_left()


def test_a_worker_killed_in_the_middle_of_a_message():
    ours, theirs = Pipe(duplex=False)
    os.write(theirs.fileno(), b"\x00\x00\x10\x00half of it")  # 4096 bytes announced
    theirs.close()
    with pytest.raises(WorkerError, match="killed"):
        list(_workers._receive([ours]))
    ours.close()


def test_iteration_that_is_given_up_ends_the_workers():
    run = run_workers(_endless, 2, 2)
    assert {next(run) for _ in range(20)} <= {0, 1}
    assert len(multiprocessing.active_children()) == 2
    run.close()
    assert _nobody_left()


def test_an_interrupt_here_ends_the_workers():
    run = run_workers(_endless, 2, 2)
    next(run)
    with pytest.raises(KeyboardInterrupt):
        run.throw(KeyboardInterrupt())
    assert _nobody_left()


def test_workers_leave_interrupts_to_their_parent():
    def job(numbers):
        for number in numbers:
            os.kill(os.getpid(), signal.SIGINT)
            yield number

    assert sorted(run_workers(job, 6, 2)) == list(range(6))


def test_workers_end_although_their_parent_handles_terminations():
    def shrug(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, shrug)
    try:
        run = run_workers(_endless, 2, 2)
        next(run)
        run.close()  # would wait for ever
    finally:
        signal.signal(signal.SIGTERM, before)
    assert _nobody_left()


ORPHANS = """
import os, signal
from ravine.population._workers import run_workers

def job(numbers):
    for number in numbers:
        while True:
            yield os.getpid()

seen = set()
for process in run_workers(job, 2, 2):
    seen.add(process)
    if len(seen) == 2:
        print(*seen, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_their_parent_is_killed():
    ended = subprocess.run(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    orphans = [Path("/proc", process) for process in ended.stdout.split()]
    assert len(orphans) == 2
    deadline = time.monotonic() + 60
    while any(_runs(process) for process in orphans):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def _runs(process):
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_worker_per_core_unless_told():
    problem = Problem("linear", vectors(), batch=16, epochs=1)
    assert Population(problem).workers == len(os.sched_getaffinity(0))
    assert Population(problem, workers=3).workers == 3


@pytest.fixture(scope="module")
def population():
    problem = Problem("mlp:8", vectors(), batch=16, epochs=5)
    return uncompiled(problem, workers=2, largest=6)


def test_a_population_given_up_leaves_no_process_and_can_run_again(population):
    members = [member(i, "adam", seed=i) for i in range(9)]
    expected = {n: told(o) for n, o in finish(population, members).items()}
    assert _nobody_left()
    run = population.run(members)
    next(run)
    assert len(multiprocessing.active_children()) == 2
    run.close()
    assert _nobody_left()
    with pytest.raises(KeyboardInterrupt):
        for _ in population.run(members):
            raise KeyboardInterrupt
    assert _nobody_left()
    assert {n: told(o) for n, o in finish(population, members).items()} == expected


def test_members_come_back_as_they_were_given(population):
    members = [member(i, "sgd", seed=i) for i in range(4)]
    for number, outcome in finish(population, members).items():
        assert outcome.member is members[number]


def test_timing_with_two_workers(population):
    assert 0 < population.time_step([get_rule("sgd")]) < 1
    assert _nobody_left()


def test_a_model_that_fails_on_the_way_fails_here():
    class Fails(Branching):
        def forward(self, x):
            if self.training and self.last.bias.abs().sum() > 0:  # after the first update
                raise ZeroDivisionError("the model broke")
            return super().forward(x)

    def factory(shape, classes):
        model = Fails(shape, classes)
        torch.nn.init.zeros_(model.last.bias)
        return model

    problem = Problem(factory, vectors(), batch=16, epochs=2)
    population = Population(problem, workers=2)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="the model broke"):
            finish(population, [member(i, seed=i) for i in range(4)])
        assert _nobody_left()
