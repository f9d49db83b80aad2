"""What a terminal, and a log, show while a study runs."""

import io
import sys
from dataclasses import replace

from rich.console import Console

from ravine.cli._watch import watch
from ravine.studies.listening import Best, Estimate, Standing

ESTIMATE = Estimate(664, 96, steps=850, seconds_per_step=2e-5, shorter=("seeds",))
BEST = {"sgd": Best(0.1, 0.91), "adam": Best(0.001, 0.9712)}
STANDING = Standing("tune", 12, 4, 8, 24, 50_000.0, 61.0, BEST)


def shown(console, *standings):
    with watch(console) as listener:
        listener.estimated(ESTIMATE)
        listener.noticed("no compiler [cpp]")
        for standing in standings:
            listener.progressed(standing)
    return console.file.getvalue()


def test_a_terminal_shows_bar_counts_speed_and_best():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    text = shown(console, STANDING)
    assert "664 trainings of 850 steps at 20 µs a step: about 11 s of training" in text
    assert "notice: no compiler [cpp]" in text
    assert "12 of 24 trainings done, 4 running, 8 waiting; 50,000 steps/s, 1 min 1 s left" in text
    lines = [line.rstrip() for line in text.splitlines()]
    assert any(set(line) <= set("━╸╺") for line in lines if line)  # the bar has its own line
    assert "sgd        0.91                          0.1" in lines
    assert "adam       0.9712                        0.001" in lines


def test_a_log_gets_a_line_at_each_phase_and_then_now_and_then(monkeypatch):
    clock = iter([0.0, 1.0, 11.5, 12.0, 13.0])
    monkeypatch.setattr("ravine.cli._watch.monotonic", lambda: next(clock))
    console = Console(file=io.StringIO(), width=40)
    later = [replace(STANDING, done=done) for done in (13, 14, 15)]
    text = shown(console, STANDING, *later, replace(STANDING, phase="select", done=16))
    lines = [line for line in text.splitlines() if "trainings done" in line]
    assert [line.split(" of 24")[0] for line in lines] == [
        *("tuning: 12", "tuning: 14", "selecting on fresh seeds: 16")
    ]
    assert lines[0].endswith("; best so far: sgd 0.91 (lr 0.1), adam 0.9712 (lr 0.001)")
    assert "\x1b" not in text


def test_the_streams_of_the_process_stay_as_they_are():
    # Workers are forked while a terminal is watched, and would inherit what stands in their place.
    console = Console(file=io.StringIO(), force_terminal=True)
    streams = sys.stdout, sys.stderr
    with watch(console):
        assert (sys.stdout, sys.stderr) == streams


def test_before_the_first_step_no_time_is_promised():
    console = Console(file=io.StringIO(), width=200)
    text = shown(console, Standing("tune", 0, 4, 8, 24, 0.0, None, {}))
    assert "tuning: 0 of 24 trainings done, 4 running, 8 waiting; 0 steps/s\n" in text
