"""`ravine lr` from the command line: what is printed and written, and what is refused."""

import json

import pytest

from ravine.cli._app import main

SHORT = ("--optimizers", "sgd,adam", "--model", "linear", "--seeds", "2", "--epochs", "1")
RATES = ("--lr", "0.001,0.01,0.1,1,10")


def run(*arguments):
    """Return the exit status of a command line."""
    with pytest.raises(SystemExit) as stopped:
        main(["lr", *arguments])
    return stopped.value.code or 0


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return the JSON of a short test, its figure and what was said beside it."""
    path = tmp_path_factory.mktemp("lr") / "rates.html"
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("typer.echo", lambda text, **_: lines.append(text))
        assert run(*SHORT, *RATES, "--json", "--plot", str(path)) == 0
    return json.loads("".join(lines)), path


def test_json_holds_a_rate_and_an_interval_for_each_optimizer(said):
    page, _ = said
    assert page["problem"] == "digits linear" and page["loss"] == "validation loss"
    assert (page["epochs"], page["steps"]) == (1, 17)
    assert [one["optimizer"] for one in page["optimizers"]] == ["sgd", "adam"]
    for one in page["optimizers"]:
        assert 0.001 <= one["low"] <= one["lr"] <= one["high"] <= 10
        assert 1e-5 < one["ramp_low"] <= one["ramp_lr"] <= one["ramp_high"]
    sgd, adam = page["optimizers"]
    assert adam["lr"] < sgd["lr"]  # a step of Adam is as long as its rate, one of SGD far shorter


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(said, capsys):
    page, _ = said
    assert run(*SHORT, *RATES, "--json") == 0
    assert json.loads(capsys.readouterr().out) == page
    assert run(*SHORT, *RATES, "--json", "--seed", "1") == 0
    assert json.loads(capsys.readouterr().out) != page


def test_the_table_shows_the_same_rates(said, capsys):
    page, _ = said
    assert run(*SHORT, *RATES) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["optimizer", "suggested", "lr", "interval", "ramp"]
    for line, one in zip(lines[1:3], page["optimizers"], strict=True):
        name, lr, low, _, high, ramp = line.split()[:6]
        assert name == one["optimizer"]
        found = [float(x) for x in (lr, low, high, ramp)]
        asked = [one[key] for key in ("lr", "low", "high", "ramp_lr")]
        assert found == pytest.approx(asked, rel=0.05)  # two digits are printed
    assert lines[3].startswith("lowest validation loss after 17 steps of digits linear")


def test_the_figure_is_a_page_that_loads_nothing(said):
    _, path = said
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>Learning rates on digits linear</title>" in page
    head, rest = page.split('<script type="application/json" id="figure">')
    figure = json.loads(rest.split("</script>")[0])
    assert {"sgd", "adam"} <= {trace.get("name") for trace in figure["data"]}
    assert figure["layout"]["xaxis"]["title"]["text"] == "learning rate"
    # Plotly's own code names its makers' server; the page around it names none.
    around = head + rest.rpartition("<script>")[2]
    assert "http" not in around and "src=" not in around


def test_where_everything_diverges_no_rate_is_suggested(capsys):
    arguments = ("--optimizers", "sgd", "--lr", "1e30,1e31,1e32", "--seeds", "2", "--epochs", "1")
    assert run(*arguments, "--json") == 0
    (sgd,) = json.loads(capsys.readouterr().out)["optimizers"]
    assert sgd["lr"] is sgd["low"] is sgd["high"] is None
    assert sgd["note"] == "every rate diverged on some seed: lower them"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr", "0.1,0.2"], "at least 3 different numbers > 0"),
        (["--lr", "0.1,0.1,0.1"], "at least 3 different numbers > 0"),
        (["--lr", "0,0.1,1"], "at least 3 different numbers > 0"),
        (["--lr", "a,b,c"], "--lr must be a number, got 'a'"),
        (["--seeds", "1"], "seeds must be an integer >= 2, got 1"),
        (["--seed", "-1"], "seed must be an integer >= 0, got -1"),
        (["--epochs", "0"], "epochs must be an integer >= 1, got 0"),
        (["--batch", "0"], "batch must be an integer >= 1, got 0"),
        (["--optimizers", "adma"], "unknown optimizer 'adma'"),
        (["--schedule", "bogus"], "unknown schedule 'bogus'"),
        (["--set", "foo=1"], "'foo'"),
        (["--problem", "digits", "--model", "mlp"], "leave out --model"),
        (["--plot", "rates.png"], "--plot must be a file ending in .html"),
        (["--plot", "no/such/folder/rates.html"], "does not exist; make it first"),
    ],
)
def test_bad_input_is_named_before_anything_trains(arguments, words, capsys):
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err and not said.out


def test_a_log_is_told_how_far_the_test_is(monkeypatch, capsys):
    monkeypatch.setattr("ravine.cli._progress.SECONDS_BETWEEN_LINES", -1.0)
    assert (
        run("--optimizers", "sgd", "--model", "linear", "--seeds", "2", "--epochs", "1", *RATES)
        == 0
    )
    told = capsys.readouterr().err
    assert "short trainings: 10 of 10" in told and "ramps: 2 of 2" in told
