"""Schedules drawn: what the table and the figure hold."""

import subprocess
import sys

import numpy as np
import pytest

import ravine.plot
from ravine.core.errors import SettingError
from ravine.reports.schedules import Schedules
from ravine.schedules import ReduceOnPlateau, cosine, get_schedule, one_cycle


def test_the_table_holds_every_step_of_every_schedule():
    base = {"lr": 0.3, "momentum": 0.8, "eps": 1e-8}
    table = Schedules(["cosine", "onecycle", one_cycle(0.4)], 60, base).frame()
    assert list(table.columns) == ["schedule", "step", "lr", "momentum"]
    names = ["cosine", "onecycle", "onecycle:0.4:0.04:4e-06:cosine:2:0.85,0.95"]
    assert table["schedule"].unique().tolist() == names
    for name, own in table.groupby("schedule"):
        assert own["step"].tolist() == list(range(60))
        found = get_schedule(name)(np.arange(60), 60, base)
        np.testing.assert_array_equal(own["lr"], found["lr"])
        np.testing.assert_array_equal(own["momentum"], found.get("momentum", np.full(60, 0.8)))


def test_long_runs_are_thinned_but_keep_their_ends():
    steps = Schedules([cosine], 1_000_003, {"lr": 1.0}).frame()["step"]
    assert (steps.iloc[0], steps.iloc[-1], len(steps)) == (0, 1_000_002, 5000)
    assert np.diff(steps).max() <= 201


def test_equal_names_are_told_apart():
    table = Schedules([cosine, cosine, "linear"], 10, {"lr": 1.0}).frame()
    assert table["schedule"].unique().tolist() == ["cosine", "cosine (2)", "linear"]


def test_a_panel_for_every_value_that_changes():
    figure = ravine.plot.schedule(["linear", "onecycle", "step:3"], 10)
    assert [(t.name, t.yaxis, t.showlegend) for t in figure.data] == [
        ("linear", "y", True),
        ("onecycle", "y", True),
        ("step:3", "y", True),
        ("onecycle", "y2", False),
    ]
    assert [note.text for note in figure.layout.annotations] == ["learning rate", "momentum"]
    assert figure.data[0].y == pytest.approx([1 - k / 10 for k in range(10)], abs=1e-15)
    assert {trace.line.shape for trace in figure.data} == {"hv"}


def test_one_schedule_without_a_momentum():
    figure = ravine.plot.schedule(one_cycle(), 10, base={"lr": 0.1})
    assert len(figure.data) == 1
    assert figure.layout.showlegend


def test_names_are_no_markup():
    def bold(step, total, base):
        return {"lr": base["lr"] * np.ones_like(step)}

    bold.__name__ = "<b>bold</b>"
    assert ravine.plot.schedule(bold, 10).data[0].name == "&lt;b&gt;bold&lt;/b&gt;"


@pytest.mark.parametrize(
    ("given", "total", "message"),
    [
        ([], 10, "schedules must be at least one, got none"),
        (ReduceOnPlateau(), 10, "reduce-on-plateau, which needs the metric"),
        ([cosine, 3], 10, "unknown schedule '3'"),
        ("cosin", 10, "did you mean 'cosine'"),
        ("cosine", 0, "total must be an integer >= 1, got 0"),
        ("warmup:10+cosine", 10, "must begin one after another"),
        (lambda step, total, base: {"nu": 1.0}, 10, "unknown hyper-parameter of base 'nu'"),
    ],
)
def test_bad_arguments(given, total, message):
    with pytest.raises(SettingError, match=message):
        ravine.plot.schedule(given, total)


def test_plotly_is_imported_with_the_figures_only():
    code = (
        "import sys, ravine, ravine.schedules; assert not {'plotly', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
