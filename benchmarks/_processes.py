"""Sides that run in processes of their own, one or several at the same time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from _timing import Side, cores

HERE = Path(__file__).parent


class NotInstalledError(Exception):
    """A side's library is not installed."""


class Worker:
    """One child process with a side's work in it; it runs only between `ask` and `answer`."""

    def __init__(self, module: str, settings: dict, python: str, chosen: Sequence[int]):
        self._module = module
        self._process = subprocess.Popen(
            [python, HERE / "_worker.py", module, json.dumps(settings | {"cores": list(chosen)})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(settings.get("threads", 2))},
        )

    def ask(self) -> None:
        """Start one piece of work."""
        print("go", file=self._process.stdin, flush=True)

    def answer(self) -> dict:
        """Wait for the child's next message."""
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the side {self._module} stopped; its error stands above")
        message = json.loads(line)
        if "missing" in message:
            raise NotInstalledError(message["missing"])
        return message

    def close(self) -> None:
        """End the child."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Team:
    """Worker processes that share one side's work; rates add up."""

    def __init__(self, workers: Sequence[Worker]):
        self.workers = workers

    def measure(self) -> float:
        """Return seconds per unit with all processes at work at once."""
        for worker in self.workers:
            worker.ask()
        answers = [worker.answer() for worker in self.workers]
        return 1 / sum(a["units"] / a["seconds"] for a in answers)


class Stage:
    """Starts sides in processes and remembers those that cannot run."""

    def __init__(self) -> None:
        self.sides: list[Side] = []
        self.absent: list[tuple[str, str]] = []
        self._workers: list[Worker] = []

    def add(
        self,
        name: str,
        module: str,
        settings: dict,
        *,
        processes: int = 1,
        python: str | None = None,
    ) -> str:
        """Start a side of `processes` processes, one core each if there are several.

        Returns:
            the side's name, whether it runs or is absent.
        """
        workers = [
            Worker(
                module,
                settings | {"process": p},
                python or sys.executable,
                self._cores(p, processes),
            )
            for p in range(processes)
        ]
        self._workers += workers
        try:
            for worker in workers:
                worker.answer()
        except NotInstalledError as error:
            self.absent.append((name, f"not installed ({error})"))
        else:
            self.sides.append(Side(name, Team(workers).measure))
        return name

    def absent_of(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return those of the named sides that cannot run."""
        return [(name, reason) for name, reason in self.absent if name in names]

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()

    @staticmethod
    def _cores(process: int, processes: int) -> list[int]:
        both = cores()
        return both if processes == 1 or not both else [both[process % len(both)]]


@contextmanager
def stage() -> Iterator[Stage]:
    """Open a stage and end its processes whatever happens."""
    opened = Stage()
    try:
        yield opened
    finally:
        opened.close()
