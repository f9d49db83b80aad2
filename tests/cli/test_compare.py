"""`ravine compare` from its options to its output, with a population that trains nothing."""

import inspect
import io
import json
import shlex
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from rich.console import Console

import ravine
from ravine.cli import main
from ravine.cli._results import ranking_table, show_results
from ravine.population import Population
from ravine.population._workers import WorkerError
from ravine.studies.storage import read_study, read_trials
from ravine.studies.study import run_study
from tests.studies.fake import FakePopulation

QUICK = ["--trials", "6", "--seeds", "3", "--optimizers", "sgd,momentum,adam"]


@pytest.fixture
def fake(monkeypatch):
    """Let studies train nothing."""
    trained_by_formula = partial(run_study, make_population=FakePopulation)
    monkeypatch.setattr("ravine._compare.run_study", trained_by_formula)


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command line and gives status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


def test_a_study_prints_estimate_ranking_verdict_winner_and_folder(fake, command, tmp_path):
    status, out, err = command("compare", "--model", "linear", *QUICK, "--out", "here")
    assert status == 0
    page = read_study(tmp_path / "here")
    assert page["status"] == "complete"
    assert page["command"] == shlex.join(
        ["ravine", "compare", "--model", "linear", *QUICK, "--out", "here"]
    )
    assert "about" in err
    assert "Shorter: fewer --optimizers" in err
    assert "tuning: 8 of 108 trainings done" in err
    assert "best so far:" in err
    lines = " ".join(out.split())
    assert " ".join(page["verdict"].split()) in lines
    assert out.index("adam") < out.index("momentum") < out.index("sgd")
    score = page["ranking"][0]["score"]
    assert f"{100 * score:.2f} %" in out
    assert page["winner"]["code"] in out
    assert "Stored in here" in out
    assert (tmp_path / "here" / "report.html").stat().st_size > 1000


def test_json_is_all_of_stdout(fake, command, tmp_path):
    status, out, err = command("compare", "--model", "linear", *QUICK, "--out", "here", "--json")
    assert status == 0
    assert json.loads(out) == read_study(tmp_path / "here")
    assert "Stored in here" in err


def test_without_out_the_folder_is_named_by_problem_and_time(fake, command, tmp_path):
    assert command("compare", "--model", "linear", *QUICK)[0] == 0
    [folder] = (tmp_path / "ravine-studies").iterdir()
    assert folder.name.startswith("digits-linear-20")


def test_options_reach_the_study(fake, command, tmp_path):
    options = "--model linear --optimizers adam,momentum --set momentum=0.5 --set adam.beta1=0.8"
    options += " --lr 0.001,0.01 --no-confirm --seeds 2 --epochs 4 --batch full --schedule linear"
    options += " --loss hinge --seed 7 --out here"
    status, _, err = command("compare", *options.split())
    assert (status, "error" in err) == (0, False)
    page, trials = read_study(tmp_path / "here"), read_trials(tmp_path / "here")
    settings = page["settings"]
    assert (settings["epochs"], settings["schedule"], settings["lr"]) == (4, "linear", [1e-3, 1e-2])
    assert (settings["confirm"], settings["seed"]) == (False, 7)
    assert settings["batch"] == page["problem"]["train"]
    assert page["problem"]["loss"] == "hinge"
    assert set(trials["phase"]) == {"tune"}
    assert len(trials) == 2 * 2 * 2
    hypers = {one["name"]: one["hypers"] for one in page["optimizers"]}
    assert (hypers["momentum"]["mu"], hypers["adam"]["beta1"]) == (0.5, 0.8)


def test_the_eight_rules_compete_by_default_and_a_rule_file_adds_to_them(fake, command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ravine import rule\n@rule()\ndef half(w, g, *, lr=0.1):\n    return w - lr * g / 2\n"
    )
    options = "--model linear --lr 0.1 --no-confirm --seeds 1 --rules mine.py"
    assert command("compare", *options.split(), "--out", "all")[0] == 0
    names = [one["name"] for one in read_study(tmp_path / "all")["optimizers"]]
    assert names == [
        *("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"),
        "half",
    ]
    assert command("compare", *options.split(), "--optimizers", "half,sgd", "--out", "two")[0] == 0
    names = [one["name"] for one in read_study(tmp_path / "two")["optimizers"]]
    assert names == ["half", "sgd"]


def test_a_named_problem_brings_its_own(fake, command, tmp_path):
    options = "--problem quadratic_deep --optimizers sgd --lr 0.015849 --seeds 2 --no-confirm"
    assert command("compare", *options.split(), "--out", "here")[0] == 0
    page = read_study(tmp_path / "here")
    assert page["problem"]["name"] == "quadratic_deep"
    assert (page["settings"]["batch"], page["settings"]["schedule"]) == (128, "constant")
    assert 'problem = named_problem("quadratic_deep")' in page["winner"]["code"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--problem quadratic_deep --data digits", "--problem brings its own data, model and loss"),
        ("--problem quadratic_deep --model mlp --loss hinge", "leave out --model and --loss"),
        ("--problem quadratc", "did you mean 'quadratic_deep'"),
        ("--problem quadratic_deep", "no validation split"),
        ("--optimizers adagrd", "unknown optimizer 'adagrd'; did you mean 'adagrad'"),
        ("--optimizers adam,,sgd", "--optimizers must be names separated by commas"),
        ("--set momentum", "--set must look like momentum=0.99, got 'momentum'"),
        ("--set momentum=x", "--set momentum must be a number, got 'x'"),
        ("--set mu=0.5 --set mu=0.6", "got 'mu' twice"),
        ("--set momentun=0.5", "did you mean 'momentum'"),
        ("--set adam.beta1=1", "beta1 must be in [0, 1), got 1.0"),
        ("--lr 0.1,-1", "learning rates (--lr, rates=) must be numbers > 0, got -1.0"),
        ("--lr 0.1,x", "--lr must be a number, got 'x'"),
        ("--lr 0.1 --trials 3", "leave it out where learning rates (--lr, rates=) are given"),
        ("--batch some", "--batch must be a whole number or 'full', got 'some'"),
        ("--schedule cosinus", "did you mean 'cosine'"),
        ("--loss softmx", "did you mean 'softmax'"),
        ("--data missing/", "no such file or folder"),
        ("--model mpl", "unknown model 'mpl'"),
        ("--rules missing.py", "rules file missing.py does not exist"),
        ("--trials one", "Invalid value for '--trials'"),
        ("--trails 3", "No such option: --trails"),
    ],
)
def test_wrong_options_give_one_line_and_status_2(fake, command, tmp_path, options, message):
    status, out, err = command("compare", *options.split())
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "ravine-studies").exists()


def test_a_used_folder_is_refused(fake, command):
    arguments = ["compare", "--model", "linear", *QUICK, "--out", "here"]
    assert command(*arguments)[0] == 0
    status, _, err = command(*arguments)
    assert (status, "already holds a study" in err) == (2, True)


def test_an_interrupt_says_where_what_finished_is(monkeypatch, command, tmp_path):
    class Stops(FakePopulation):
        def run(self, members, *, test=False, stop_hopeless=False):
            yield next(super().run(members, test=test))
            raise KeyboardInterrupt

    monkeypatch.setattr("ravine._compare.run_study", partial(run_study, make_population=Stops))
    status, _, err = command("compare", "--model", "linear", *QUICK, "--out", "here")
    assert status == 130
    assert "stopped; what had finished is stored in here" in err
    assert read_study(tmp_path / "here")["status"] == "stopped"
    assert "(status: stopped)" in (tmp_path / "here" / "report.html").read_text(encoding="utf-8")


def test_an_interrupt_before_the_first_training_claims_no_results(monkeypatch, command, tmp_path):
    class Stops(FakePopulation):
        def time_step(self, rules):
            raise KeyboardInterrupt

    monkeypatch.setattr("ravine._compare.run_study", partial(run_study, make_population=Stops))
    status, _, err = command("compare", "--model", "linear", *QUICK, "--out", "here")
    assert (status, err) == (130, "stopped; nothing is stored\n")
    assert not (tmp_path / "here").exists()


def test_a_failed_study_is_one_line_with_its_folder_and_a_report(monkeypatch, command, tmp_path):
    class Killed(FakePopulation):
        def run(self, members, *, test=False, stop_hopeless=False):
            yield next(super().run(members, test=test))
            raise WorkerError("a worker process was killed")

    monkeypatch.setattr("ravine._compare.run_study", partial(run_study, make_population=Killed))
    arguments = ["compare", "--model", "linear", *QUICK, "--out", "here"]
    status, _, err = command(*arguments)
    last = err.splitlines()[-1]
    said = "error: a worker process was killed; what had finished is stored in here"
    assert (status, last) == (2, said)
    page = (tmp_path / "here" / "report.html").read_text(encoding="utf-8")
    assert "(status: failed; WorkerError: a worker process was killed)" in page
    assert "stored in" not in command(*arguments)[2]  # refused: nothing of this one is stored


@pytest.mark.parametrize(("target", "shown"), [(0.97, "never"), (None, "-")])
def test_a_target_that_was_missed_is_not_one_that_was_never_set(target, shown):
    row = {"optimizer": "sgd", "lr": 0.1, "score": 0.9, "low": None, "high": None}
    row |= {"steps_to_target": None, "seconds_per_step": 1e-5, "failures": 0}
    row |= {"tuning_failures": 4}
    page = {"score": {"name": "accuracy"}, "protocol": {"confidence": 0.95}, "target": target}
    page |= {"settings": {"confirm": True, "seeds": {"confirm": 20}}, "ranking": [row]}
    page |= {"problem": {"model": "mlp", "data": "digits"}}
    table = ranking_table(page)
    [to_target] = [list(one.cells) for one in table.columns if one.header == "to target"]
    assert to_target == [shown]
    assert list(table.columns[-1].cells) == ["0"]
    assert table.caption == "diverged or stopped while tuning and selecting: sgd 4"


@pytest.mark.parametrize(("width", "alone"), [(80, False), (120, True)])
def test_long_names_stay_whole_and_the_time_of_a_step_goes_first(width, alone, tmp_path):
    row = {"optimizer": "rmsprop_centred_momentum", "lr": 1.58e-05, "score": 0.9513}
    row |= {"low": 0.9413, "high": 0.9875, "steps_to_target": 12345.0}
    row |= {"seconds_per_step": 1.2345e-2, "failures": 20, "tuning_failures": 0}
    page = {"score": {"name": "accuracy"}, "protocol": {"confidence": 0.95}, "target": 0.9}
    page |= {"settings": {"confirm": True, "seeds": {"confirm": 20}}, "ranking": [row]}
    page |= {"problem": {"model": "mlp", "data": "digits"}, "winner": None, "verdict": "none"}
    written = io.StringIO()
    show_results(SimpleNamespace(json=page, folder=tmp_path), Console(file=written, width=width))
    [line] = [one for one in written.getvalue().splitlines() if one.startswith("rmsprop")]
    cells = ["rmsprop_centred_momentum", "1.58e-05", "95.13 %", "94.13 to 98.75 %", "12345 steps"]
    assert " ".join(line.split()) == " ".join([*cells, *(["12,345 µs"] if alone else []), "20"])


def test_unexpected_errors_keep_their_traceback(monkeypatch, command):
    class Broken(FakePopulation):
        def time_step(self, rules):
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr("ravine._compare.run_study", partial(run_study, make_population=Broken))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["compare", "--model", "linear"])


def test_a_stored_study_is_reported_again(fake, command, tmp_path):
    command("compare", "--model", "linear", *QUICK, "--out", "here")
    (tmp_path / "here" / "report.html").unlink()
    status, out, _ = command("report", "here")
    assert (status, out.strip()) == (0, "here/report.html")
    assert (tmp_path / "here" / "report.html").exists()
    assert command("report", "elsewhere")[0] == 2


def test_version(command):
    assert command("--version") == (0, f"ravine {ravine.__version__}\n", "")


def test_help_names_every_option(command):
    status, out, _ = command("compare", "--help")
    assert status == 0
    options = "data model problem optimizers rules set lr schedule trials seeds epochs batch loss"
    for option in [*options.split(), "no-confirm", "out", "json"]:
        assert f"--{option}" in out


def loaded_by(statement):
    """Return the modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import ravine", "import ravine.cli", "from ravine import RavineError"]
)
def test_imports_are_light(statement):
    heavy = {"torch", "numpy", "pandas", "plotly", "scipy", "sklearn", "numba", "sympy", "pyarrow"}
    assert not heavy & loaded_by(statement)


def test_the_public_names_exist():
    for name in ravine.__all__:
        assert getattr(ravine, name) is not None
    assert dir(ravine) == sorted(ravine.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'compere'"):
        _ = ravine.compere


def test_compare_from_python(fake, tmp_path):
    study = ravine.compare(
        ravine.Problem("linear"), ["sgd", "adam"], trials=6, seeds=3, out=tmp_path / "out"
    )
    assert study.folder == tmp_path / "out"
    assert study.verdict == study.json["verdict"]
    assert study.ranking()["optimizer"].tolist() == ["adam", "sgd"]
    assert len(study.frame()) == 2 * (18 + 15 + 3)
    assert set(study.curves()["member"]) <= set(study.frame()["member"])
    assert study.report(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!")
    assert ravine.Study.load(tmp_path / "out").json == study.json
    assert study.winner["lr"] == 0.001
    assert 'problem = Problem("linear", "digits")\n' in study.winner["code"]
    with pytest.raises(ravine.SettingError, match="holds no study"):
        ravine.Study.load(tmp_path)


def test_the_fake_takes_the_arguments_of_the_population():
    real = inspect.signature(Population.__init__).parameters
    assert {"batch", "epochs", "schedule", "states", "largest", "notice"} <= set(real)
    for method in ("run", "time_step"):
        given = inspect.signature(getattr(FakePopulation, method)).parameters
        assert list(given) == list(inspect.signature(getattr(Population, method)).parameters)
