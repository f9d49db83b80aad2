"""Options that several commands share. Nothing heavy is imported before a command runs."""

from pathlib import Path
from typing import Annotated

import typer

PROBLEM, COMPETITORS = "What is trained", "Who competes"
BUDGET, OUTPUT = "Budget", "Output"

Data = Annotated[
    str | None,
    typer.Option(
        metavar="digits|PATH",
        help="Images: [bold]digits[/bold] (scikit-learn's 1,797 digits, offline), a folder in"
        " MNIST's IDX format (gzipped or not), or an .npz with x_train, y_train, x_test and"
        " y_test.",
        show_default="digits",
        rich_help_panel=PROBLEM,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="linear|mlp|MODEL",
        help="A built-in model, such as mlp:128,64:tanh:xavier, or your own as"
        " package.module:factory or path/file.py:factory, called with the input shape and the"
        " number of classes.",
        show_default="mlp",
        rich_help_panel=PROBLEM,
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        metavar="softmax|hinge",
        help="Loss: softmax cross-entropy or multiclass hinge.",
        show_default="softmax",
        rich_help_panel=PROBLEM,
    ),
]
NamedProblem = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A named problem that brings its data, model, loss and defaults, such as"
        " quadratic_deep.",
        rich_help_panel=PROBLEM,
    ),
]
Optimizers = Annotated[
    str | None,
    typer.Option(
        metavar="sgd,momentum,...",
        help="Optimizers, separated by commas. adam@lecture names a convention other than"
        " PyTorch's; [bold]all[/bold] is every rule.",
        show_default="sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw",
        rich_help_panel=COMPETITORS,
    ),
]
Rules = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.py",
        help="Python file with rules of your own (@ravine.rule). They compete beside the"
        " others, or where --optimizers names them.",
        rich_help_panel=COMPETITORS,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Fix a hyper-parameter, by the formula's name or PyTorch's, for every optimizer"
        " that has it; adam.beta1=0.95 for one. Repeatable.",
        rich_help_panel=COMPETITORS,
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(
        metavar="N|full",
        help="Samples per step; 1 is stochastic descent, full is batch descent.",
        show_default="the problem's",
        rich_help_panel=BUDGET,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Base seed: the same command and seed give the same numbers.",
        rich_help_panel=BUDGET,
    ),
]
