"""The winner as a PyTorch program that can be pasted and run."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ravine.problems import Problem
from ravine.rules import Rule, get_rule
from ravine.studies.contestants import Contestant

# Rules that are torch's own in the torch convention: class, and arguments beside the rule's.
_TORCH_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {}),
    "nesterov": ("SGD", {"nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "adadelta": ("Adadelta", {}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_centred": ("RMSprop", {"centered": True}),
    "rmsprop_momentum": ("RMSprop", {}),
    "rmsprop_centred_momentum": ("RMSprop", {"centered": True}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamw": ("AdamW", {}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
    "radam": ("RAdam", {}),
    "rprop": ("Rprop", {}),
}
_SCHEDULERS = {
    "cosine": "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)",
    "linear": "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)",
}
_PROGRAM = '''\
"""{title}"""

{imports}

torch.manual_seed({seed})

{problem}
split = problem.split(seed={seed})  # rows and normalisation as in the study
shift, scale = split.shift.float(), split.scale.float()
inputs = (problem.data.x.float() - shift) * scale
targets = problem.data.y{cast}
train = TensorDataset(inputs[split.train], targets[split.train])
{order}loader = DataLoader(train, batch_size={batch}, {shuffled}, drop_last=True)

{model}
loss_function = {loss}

epochs = {epochs}
steps = epochs * len(loader)
optimizer = {optimizer}
{scheduler}
for _ in range(epochs):
    for x, y in loader:
{update}{step}

model.eval()
rows = problem.evaluation_rows({seed}, "test")
with {context}:
    score = problem.metric(model(inputs[rows]), targets[rows])
print(f"test {score_name}: {{score:.4f}}")
'''

_UPDATE = """\
        optimizer.zero_grad()
        loss_function(model(x), y).backward()
        optimizer.step()"""
# For rules that take a second gradient.
_UPDATE_TWICE = """\

        def closure():
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)"""
_ONE_ORDER = "order = torch.randperm(len(train)).tolist()  # one order for all epochs, as studied\n"


@dataclass(frozen=True)
class Recipe:
    """How the winner is trained.

    Args:
        problem: What was compared.
        source: Python expression that makes the problem again, of names in ``ravine.problems``;
            None leaves that to whoever pastes the program.
        contestant: The winner.
        lr: Its learning rate.
        batch: Rows per batch.
        epochs: Passes over the training rows.
        schedule: Text of the schedule.
        seed: Of the split and the initial weights.
    """

    problem: Problem
    source: str | None
    contestant: Contestant
    lr: float
    batch: int
    epochs: int
    schedule: str
    seed: int


def winner_code(recipe: Recipe) -> str:
    """Return a program that trains the winner as the study did, and prints its test score.

    Built-in models and torch's optimizers are written out in plain torch; a model or rule of the
    user is imported. Initial weights and batch order have the study's distribution, not its bits.
    """
    problem = recipe.problem
    optimizer, optimizer_imports, plain = _optimizer(recipe)
    model, model_imports = _model(problem, recipe.seed)
    rule = recipe.contestant.rule
    scheduler, scheduler_imports = _scheduler(recipe.schedule if rule.scheduled else "constant")
    softmax = problem.loss_name == "softmax"
    return _PROGRAM.format(
        title=f"{recipe.contestant.name} at lr {recipe.lr:g} on {problem.name}, chosen by Ravine.",
        imports=_imports(
            [*_source_imports(recipe), *model_imports, *optimizer_imports, *scheduler_imports]
        ),
        seed=recipe.seed,
        problem=f"problem = {recipe.source}"
        if recipe.source
        else "# problem is the ravine.Problem that was compared; define it above.",
        cast=".float()" if problem.data.y.is_floating_point() else "",
        batch=recipe.batch,
        order="" if problem.reshuffle else _ONE_ORDER,
        shuffled="shuffle=True" if problem.reshuffle else "sampler=order",
        model=model,
        loss="nn.CrossEntropyLoss()" if softmax else f"problem.loss  # {problem.loss_name}",
        epochs=recipe.epochs,
        optimizer=optimizer,
        scheduler=f"scheduler = {scheduler}\n" if scheduler else "",
        update=_UPDATE if rule.ascent is None else _UPDATE_TWICE,
        step="\n        scheduler.step()" if scheduler else "",
        # Rules with a readout evaluate other weights than they store.
        context="torch.no_grad()" if plain else "optimizer.readout(), torch.no_grad()",
        score_name=problem.score_name,
    )


def _imports(lines: list[str]) -> str:
    torch_lines = ["import torch", "from torch import nn"]
    torch_lines += ["from torch.utils.data import DataLoader, TensorDataset"]
    groups = [torch_lines, sorted(set(lines))]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _source_imports(recipe: Recipe) -> list[str]:
    if recipe.source is None:
        return []
    return [f"from ravine.problems import {recipe.source.partition('(')[0]}"]


def _model(problem: Problem, seed: int) -> tuple[str, list[str]]:
    """Return the lines that make the model, and their imports."""
    name = problem.model_name
    kind = name.split(":")[0]
    if kind in ("linear", "mlp"):
        return _layers(problem.build(seed), _is_he(name)), []
    place, colon, factory = name.rpartition(":")
    shape, outputs = problem.data.input_shape, problem.data.outputs
    # A callable given in Python has no address; a file may import others that lie beside it.
    if not colon or place.endswith(".py"):
        return f"model = problem.build({seed})", []
    return f"model = {factory}({shape}, {outputs})", [f"from {place} import {factory}"]


def _scheduler(schedule: str) -> tuple[str, list[str]]:
    """Return the expression of the scheduler, empty if there is none, and its imports."""
    if schedule == "constant" or schedule in _SCHEDULERS:
        return _SCHEDULERS.get(schedule, ""), []
    made = f"TorchSchedule(optimizer, {json.dumps(schedule)}, total_steps=steps)"
    return made, ["from ravine.schedules import TorchSchedule"]


def _is_he(spec: str) -> bool:
    parts = spec.split(":")
    rectified = parts[0] == "mlp" and not {"tanh", "sigmoid"} & set(parts)
    return "he" in parts or (rectified and "xavier" not in parts)


def _layers(model: nn.Module, he: bool) -> str:
    layers = "\n".join(f"    nn.{layer!r}," for layer in model.children())
    slope = next((m.negative_slope for m in model.children() if isinstance(m, nn.LeakyReLU)), 0.0)
    init = f"kaiming_normal_(layer.weight, a={slope})" if he else "xavier_uniform_(layer.weight)"
    return (
        f"model = nn.Sequential(\n{layers}\n)\n"
        "for layer in model:\n"
        "    if isinstance(layer, nn.Linear):\n"
        f"        nn.init.{init}\n"
        "        nn.init.zeros_(layer.bias)"
    )


def _optimizer(recipe: Recipe) -> tuple[str, list[str], bool]:
    """Return the expression of the optimizer, its imports, and whether it is torch's own."""
    contestant = recipe.contestant
    hypers = {**contestant.hypers, "lr": recipe.lr}
    arguments = torch_arguments(contestant.rule, hypers) if contestant.standard else None
    if arguments is not None:
        name = f"torch.optim.{_TORCH_CLASSES[contestant.rule.name][0]}"
        return f"{name}(model.parameters(), {_keywords(arguments)})", [], True
    rule, imports = _rule(contestant)
    made = f"from_rule({rule})(model.parameters(), {_keywords(hypers)})"
    return made, ["from ravine.optim import from_rule", *imports], False


def torch_arguments(rule: Rule, hypers: Mapping[str, float]) -> dict[str, Any] | None:
    """Return the arguments of torch's class for a rule; None where torch has no such optimizer.

    >>> from ravine.rules import get_rule
    >>> adam = get_rule("adam")
    >>> torch_arguments(adam, adam.hypers)
    {'lr': 0.001, 'betas': (0.9, 0.999), 'eps': 1e-08}
    """
    if rule.name not in _TORCH_CLASSES or rule is not get_rule(rule.name):
        return None
    name, extra = _TORCH_CLASSES[rule.name]
    given = _grouped({rule.aliases.get(hyper, hyper): value for hyper, value in hypers.items()})
    known = inspect.signature(getattr(torch.optim, name)).parameters
    arguments = {**given, **extra}
    # torch refuses dampening with nesterov; the rule has it.
    refused = extra.get("nesterov") and given.get("dampening")
    return None if refused or set(arguments) - set(known) else _lr_first(arguments)


def _grouped(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``betas[0]`` and ``betas[1]`` as one argument ``betas``, and others as they are."""
    grouped: dict[str, Any] = {}
    for name, value in arguments.items():
        whole, bracket, _ = name.partition("[")
        grouped[whole] = (*grouped.get(whole, ()), value) if bracket else value
    return grouped


def _lr_first(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"lr": arguments["lr"], **arguments}


def _keywords(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _rule(contestant: Contestant) -> tuple[str, list[str]]:
    """Return the expression of a rule that torch does not have, and its imports."""
    rule = contestant.rule
    if contestant.standard:
        name = f"get_rule({rule.name!r}, {rule.convention!r})"
        return name, ["from ravine.rules import get_rule"]
    module, name = rule.function.__module__, rule.function.__name__
    if module.startswith("ravine_rules_"):  # read from a file by load_rules
        path = Path(inspect.getfile(inspect.unwrap(rule.function)))
        found = f"next(r for r in load_rules({str(path)!r}) if r.name == {rule.name!r})"
        return found, ["from ravine.rules import load_rules"]
    # A rule of the running script is defined where the program is pasted.
    return name, [] if module == "__main__" else [f"from {module} import {name}"]
