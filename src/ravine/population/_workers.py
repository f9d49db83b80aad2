"""One worker process per core, each with a block of its own, fed from one queue.

Workers are forked, so they inherit the compiled model, the kernels and the data as they are:
starting one takes milliseconds, and nothing has to be pickled on the way in. Each runs its
operations in one thread. Two threads inside every small operation would wait for each other at
each one, and lose more than a core when the machine is shared with other work.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ravine.core.errors import RavineError

Job = Callable[[Iterator[int]], Iterator[Any]]


class WorkerError(RavineError, RuntimeError):
    """A worker process ended before its work did."""


def can_fork() -> bool:
    """Return whether workers can be forked: on Linux; macOS's libraries do not survive it."""
    return sys.platform == "linux"


def run_workers(job: Job, count: int, workers: int) -> Generator[Any]:
    """Run a job over numbers 0..count-1 in several processes and yield what it yields.

    Args:
        job: Called in each worker with an iterator over the numbers left; must yield values
            that can be pickled.
        count: How many numbers there are.
        workers: Number of processes; with one, the job runs in this process.

    Raises:
        WorkerError: When a worker is killed, for instance because memory ran out.
        Exception: What the job raised in a worker.
    """
    if workers == 1 or not can_fork():
        yield from job(iter(range(count)))
        return
    context = multiprocessing.get_context("fork")
    following = context.Value("q", 0)
    started: list[tuple[BaseProcess, Connection]] = []
    try:
        # Each is in the list as soon as it runs, so that an interrupt here ends it too.
        started.extend(_start(context, job, following, count) for _ in range(workers))
        yield from _receive([connection for _, connection in started])
    finally:
        for process, connection in started:
            process.terminate()
            process.join()
            connection.close()


def _start(context: Any, job: Job, following: Any, count: int) -> tuple[BaseProcess, Connection]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, following, count, theirs, ours), daemon=True)
    with warnings.catch_warnings():
        # Newer Pythons warn that a forked child may find a lock held by a thread that is gone.
        # Workers run compiled code, in one thread and without locks; the model's own code is the
        # user's, and the same holds for it as in a DataLoader's workers.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    return process, ours


def _receive(connections: Sequence[Connection]) -> Iterator[Any]:
    open_ones = list(connections)
    while open_ones:
        for connection in wait(open_ones):
            assert isinstance(connection, Connection)
            try:
                kind, value = connection.recv()
            except (EOFError, OSError):  # OSError: killed half-way through a message
                raise WorkerError(
                    "a worker process was killed, most likely because memory ran out;"
                    " give a smaller memory budget, batch or model"
                ) from None
            if kind == "value":
                yield value
            elif kind == "error":
                raise value
            else:
                open_ones.remove(connection)


def _work(
    job: Job, following: Any, count: int, connection: Connection, parents_end: Connection
) -> None:
    # Interrupts are the parent's to handle: it ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # With no reader left a worker whose parent was killed ends at its next message.
    parents_end.close()
    try:
        for value in job(_numbers(following, count)):
            connection.send(("value", value))
        connection.send(("done", None))
    except BaseException as error:
        connection.send(("error", _sendable(error)))
    finally:
        connection.close()
        # Skip the exit handlers inherited from the parent; they are not this process's.
        os._exit(0)


def _numbers(following: Any, count: int) -> Iterator[int]:
    while True:
        with following.get_lock():
            number = following.value
            following.value += 1
        if number >= count:
            return
        yield number


def _sendable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return WorkerError(f"{type(error).__name__}: {error}")
    return error
