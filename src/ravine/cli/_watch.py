"""Progress of a study on a terminal, or as plain lines where there is none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ravine.studies.listening import Estimate, Listener, Standing

SECONDS_BETWEEN_LINES = 10.0
_PHASES = {
    "tune": "tuning",
    "select": "selecting on fresh seeds",
    "confirm": "confirming on fresh seeds",
}


@contextmanager
def watch(console: Console) -> Iterator[Listener]:
    """Give a listener that shows a study's progress while a block runs."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    start = Text("compiling, and timing a step ...")
    # Standard output stays as it is: workers are forked meanwhile, and would inherit the detour.
    live = Live(
        start,
        console=console,
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live:
        yield _Display(console, live)


class _Display:
    """A listener that keeps one table up to date."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def estimated(self, estimate: Estimate) -> None:
        self._console.print(estimate_text(estimate), markup=False)

    def noticed(self, text: str) -> None:
        self._console.print(f"notice: {text}", style="yellow", markup=False)

    def progressed(self, standing: Standing) -> None:
        bar = Table.grid()  # which ends the bar's line
        bar.add_row(ProgressBar(total=standing.planned, completed=standing.done, width=60))
        self._live.update(Group(Text(standing_text(standing)), bar, _best(standing)))


class _Lines:
    """A listener that prints a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._printed = 0.0

    def estimated(self, estimate: Estimate) -> None:
        self._print(estimate_text(estimate))

    def noticed(self, text: str) -> None:
        self._print(f"notice: {text}")

    def progressed(self, standing: Standing) -> None:
        now = monotonic()
        if standing.phase != self._phase or now - self._printed > SECONDS_BETWEEN_LINES:
            self._phase, self._printed = standing.phase, now
            self._print(standing_text(standing) + best_text(standing))

    def _print(self, text: str) -> None:
        # soft_wrap: a log's lines are not cut to the width of a terminal that is not there.
        self._console.print(text, markup=False, soft_wrap=True)


def estimate_text(estimate: Estimate) -> str:
    """Say how long a study will take and what would shorten it.

    >>> shorter = ("optimizers", "trials", "seeds", "epochs", "confirm")
    >>> print(estimate_text(Estimate(664, 96, 850, seconds_per_step=2e-5, shorter=shorter)))
    664 trainings of 850 steps at 20 µs a step: about 11 s of training (96 more trainings if a best
    learning rate lies at the border of the grid). Shorter: fewer --optimizers, --trials, --seeds or
    --epochs, or --no-confirm.
    """
    extra = (
        f" ({estimate.extra} more trainings if a best learning rate lies at the border of the grid)"
        if estimate.extra
        else ""
    )
    return (
        f"{estimate.members} trainings of {estimate.steps} steps at"
        f" {_small(estimate.seconds_per_step)} a step: about {_duration(estimate.seconds)} of"
        f" training{extra}.{_shorter_text(estimate.shorter)}"
    )


def _shorter_text(settings: Sequence[str]) -> str:
    """Name the options that would shorten a study.

    >>> _shorter_text(["rates", "confirm"]), _shorter_text(["confirm"]), _shorter_text([])
    (' Shorter: fewer --lr, or --no-confirm.', ' Shorter: --no-confirm.', '')
    """
    options = ["--lr" if name == "rates" else f"--{name}" for name in settings if name != "confirm"]
    fewer = " or ".join(filter(None, [", ".join(options[:-1]), *options[-1:]]))
    ways = [f"fewer {fewer}"] if fewer else []
    ways += ["--no-confirm"] if "confirm" in settings else []
    return f" Shorter: {', or '.join(ways)}." if ways else ""


def standing_text(standing: Standing) -> str:
    """Say how far a study is.

    >>> standing_text(Standing("tune", 12, 4, 8, 24, 50_000.0, 61.0, {}))
    'tuning: 12 of 24 trainings done, 4 running, 8 waiting; 50,000 steps/s, 1 min 1 s left'
    """
    left = "" if standing.seconds_left is None else f", {_duration(standing.seconds_left)} left"
    return (
        f"{_PHASES[standing.phase]}: {standing.done} of {standing.planned} trainings done,"
        f" {standing.running} running, {standing.waiting} waiting;"
        f" {standing.steps_per_second:,.0f} steps/s{left}"
    )


def best_text(standing: Standing) -> str:
    """Name the best training so far of each optimizer, after a separator; nothing at first."""
    best = [f"{name} {one.score:.4g} (lr {one.lr:g})" for name, one in standing.best.items()]
    return f"; best so far: {', '.join(best)}" if best else ""


def _best(standing: Standing) -> Table:
    table = Table("optimizer", "best validation score so far", "lr", box=None, pad_edge=False)
    for name, one in standing.best.items():
        table.add_row(name, f"{one.score:.4g}", f"{one.lr:g}")
    return table


def _small(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "a second"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
