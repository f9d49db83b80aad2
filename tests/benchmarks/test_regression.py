"""The regression check: a loss counts when it is seen three times in a row, and only then."""

import json

import pytest


@pytest.fixture
def check(monkeypatch, tmp_path, request):
    """Return a check whose benchmark gives the ratios it is told to, run after run."""
    monkeypatch.syspath_prepend(str(request.config.rootpath / "benchmarks"))
    import regression  # noqa: PLC0415  (found only now)

    monkeypatch.setattr(regression, "STORED", tmp_path / "stored.json")

    def run(arguments, *runs):
        waiting = list(runs)
        monkeypatch.setattr(regression, "run", lambda name: waiting.pop(0))
        monkeypatch.setattr("sys.argv", ["regression.py", "groups", *arguments])
        try:
            regression.main()
        except SystemExit as end:
            return end.code, len(waiting)
        return 0, len(waiting)

    run.module = regression
    return run


def test_a_loss_fails_when_three_runs_see_it(check, capsys):
    check(["--store"], {"adam: fused": 2.0, "sgd: fused": 1.0})
    low = {"adam: fused": 1.49, "sgd: fused": 0.76}
    assert check([], low, low, low) == (1, 0)
    assert "LOST 3 times in a row: groups: adam: fused\n" in capsys.readouterr().out


def test_a_row_that_recovers_passes_and_the_other_one_is_watched_alone(check):
    check(["--store"], {"a": 2.0, "b": 2.0})
    assert check([], {"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 2.0}) == (0, 1)
    assert check([], {"a": 1.6, "b": 1.51}, {}) == (0, 1)  # 25 % less is not more than 25 % less


def test_without_stored_ratios_the_check_says_what_to_do(check):
    code, _ = check([], {})
    assert code == "no stored ratios of groups: run with --store first"


def test_storing_one_benchmark_keeps_the_others(check):
    check.module.STORED.write_text(json.dumps({"startup": {"a": 1.0}}))
    check(["--store"], {"b": 1.23456})
    assert json.loads(check.module.STORED.read_text()) == {
        "startup": {"a": 1.0},
        "groups": {"b": 1.235},
    }


def test_rows_that_were_not_measured_have_no_ratio(check):
    rows = [
        {"benchmark": "lion", "against": "optimi", "ratio": None},
        {"benchmark": "adam", "against": "torch fused", "ratio": 1.06},
    ]
    assert check.module.ratios({"rows": rows}) == {"adam: torch fused": 1.06}
