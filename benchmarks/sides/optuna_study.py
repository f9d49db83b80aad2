"""The usual way to tune an optimizer: Optuna trials around a DataLoader loop, several processes.

Given every advantage that keeps it the usual way: fused Adam, one thread per process, a sampler
that costs nothing, no pruning, validation once per trial.
"""

import time
import warnings
from collections.abc import Callable

import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from torch.nn.functional import cross_entropy
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from sides.torch_loop import load, mlp

EPOCHS = 20


def prepare(settings: dict) -> Callable[[], tuple[int, float]]:
    """Return a function that runs one trial of the study all processes share."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(settings["process"])
    train, held_out, y, y_held_out = _split(*load(settings["data"]))
    loader = _loader(TensorDataset(train, y), settings["batch"], settings["whole_batches"])
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(f"{settings['data']}/{settings['study']}.log")),
        study_name="rates",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=settings["process"]),
    )

    def objective(trial: optuna.Trial) -> float:
        model = mlp(settings["sizes"])
        rate = trial.suggest_float("lr", 1e-4, 1.0, log=True)
        optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
        for _ in range(EPOCHS):
            for inputs, labels in loader:
                optimizer.zero_grad()
                cross_entropy(model(inputs), labels).backward()
                optimizer.step()
        with torch.no_grad():
            return (model(held_out).argmax(1) == y_held_out).float().mean().item()

    def measure() -> tuple[int, float]:
        begin = time.perf_counter()
        study.optimize(objective, n_trials=1)
        return EPOCHS * len(loader), time.perf_counter() - begin

    measure()
    return measure


def _split(x, y):
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, held_out = rows[len(x) // 5 :], rows[: len(x) // 5]
    return x[train], x[held_out], y[train], y[held_out]


def _loader(data: TensorDataset, batch: int, whole_batches: bool) -> DataLoader:
    """Return the usual loader, or one that takes a whole batch from the tensors at once."""
    if not whole_batches:
        return DataLoader(data, batch_size=batch, shuffle=True, drop_last=True)
    sampler = BatchSampler(RandomSampler(data), batch, drop_last=True)
    return DataLoader(data, sampler=sampler, batch_size=None)
