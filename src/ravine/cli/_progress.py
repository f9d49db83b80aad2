"""Progress of work that is counted: a bar on a terminal, a line now and then in a log."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ravine.gradients import Listener

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def counted(console: Console, first: str) -> Iterator[Listener]:
    """Give a listener that shows what is done while a block runs.

    Args:
        console: Where to show it.
        first: What is under way before the first report.
    """
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # Standard output stays as it is: workers that are forked meanwhile would inherit a detour.
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        yield _Bar(bar, first)


class _Bar:
    """A listener that keeps one bar up to date."""

    def __init__(self, bar: Progress, first: str) -> None:
        self._bar = bar
        self._task = bar.add_task(first, total=None)

    def progressed(self, what: str, done: int, total: int) -> None:
        self._bar.update(self._task, description=what, completed=done, total=total)

    def noticed(self, text: str) -> None:
        """Do nothing: notices are part of what is printed at the end."""


class _Lines:
    """A listener that prints a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed = monotonic()

    def progressed(self, what: str, done: int, total: int) -> None:
        now = monotonic()
        if now - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = now
            # soft_wrap: a log's lines are not cut to the width of a terminal that is not there.
            self._console.print(f"{what}: {done:,} of {total:,}", markup=False, soft_wrap=True)

    def noticed(self, text: str) -> None:
        """Do nothing, as on a terminal."""
