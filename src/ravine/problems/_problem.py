"""A problem: model, data, loss and score, with everything random in it fixed by a seed."""

import json
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ravine.core.errors import DataError, ModelError, SettingError, unknown
from ravine.core.seeding import rng, torch_seeded
from ravine.problems._checks import check_scalar, run_model, tiny_batch
from ravine.problems._data import Data
from ravine.problems._factories import call_factory, find_factory
from ravine.problems._losses import Loss, find_loss, find_score
from ravine.problems._models import Factory
from ravine.problems._numbers import fraction, integer
from ravine.problems._sources import load_data
from ravine.problems._splits import Split, normalisation, split_rows
from ravine.schedules import Schedule, get_schedule
from ravine.schedules._notation import schedule_text

DEFAULT_BATCH = 64
MOST_EPOCHS = 50
ENOUGH_STEPS = 3000


class Problem:
    """A model, its data, a loss and a score: what every optimizer of a comparison trains on.

    Everything is checked here, the model included: it is built twice and run on four rows.

    Args:
        model: ``"linear"``; ``"mlp[:WIDTHS][:ACTIVATION][:INIT]"`` such as
            ``"mlp:128,64:tanh:xavier"`` (default one hidden layer of 64, relu, He);
            ``"package.module:factory"``; ``"path/to/file.py:factory"``; or a callable. A factory
            is called as ``factory(input_shape, classes)`` (for float targets their width takes
            the place of classes) and returns a new `torch.nn.Module` with outputs [B, classes].
        data: what `load_data` takes.
        loss: ``"softmax"``, ``"hinge"``, or a callable ``loss(outputs, targets)`` that returns
            the mean over the batch as a tensor without dimensions.
        metric: ``"accuracy"``, ``"loss"``, or a callable like a loss; None: accuracy for class
            labels, else the loss.
        direction: ``"max"`` or ``"min"``; needed with a callable metric only.
        name: what reports call the problem; None: data and model.
        batch: rows per step, 1..training rows, or ``"full"``.
        epochs: passes over the training rows, > 0; None: about 3000 steps, 1 to 50 epochs.
        schedule: of the learning rate, as `ravine.schedules.get_schedule` reads it: ``"cosine"``,
            ``"warmup:0.1+cosine"``.
        validation: fraction of the rows outside test held out for validation, in [0, 1).
        normalise: shift and scale inputs to mean 0 and deviation 1 over the training rows.
        reshuffle: new batch order every epoch; False: the same order in every epoch of a seed.

    Raises:
        SettingError: a setting is unknown or outside its bounds.
        DataError: the data cannot be read, or trained on.
        ModelError: the model, loss or metric cannot be built or does not fit.

    Attributes:
        source: Python expression that makes model, data, loss and score again; None where one of
            them was given as an object.

    >>> problem = Problem("mlp")
    >>> problem.source
    'Problem("mlp", "digits")'
    >>> problem.steps_per_epoch(64) * problem.epochs, problem.score_name
    (850, 'accuracy')
    """

    def __init__(
        self,
        model: str | Factory,
        data: str | Path | Data | tuple[Any, ...] = "digits",
        *,
        loss: str | Loss = "softmax",
        metric: str | Loss | None = None,
        direction: Literal["max", "min"] | None = None,
        name: str | None = None,
        batch: int | Literal["full"] = DEFAULT_BATCH,
        epochs: int | None = None,
        schedule: str | Schedule = "cosine",
        validation: float = 0.2,
        normalise: bool = True,
        reshuffle: bool = True,
    ) -> None:
        self.data = load_data(data)
        self.model_name, self._factory = find_factory(model)
        self.name = f"{self.data.name} {self.model_name}" if name is None else name
        self.loss_name, self.loss = find_loss(loss, self.data)
        score = find_score(metric, direction, self.loss, self.data)
        self.score_name, self.metric, self.direction = score.name, score.metric, score.direction
        self.smallest_difference = score.smallest_difference
        self._normalise, self.reshuffle = normalise, reshuffle
        self.source = _source(
            model,
            data,
            loss=loss,
            metric=metric,
            direction=direction,
            validation=validation,
            normalise=normalise,
            reshuffle=reshuffle,
        )
        self._validation = fraction("validation", validation)
        self._splits: dict[int, Split] = {}
        self._sizes = self._checked_sizes()
        self.batch, self.schedule = batch, _checked_schedule(schedule)
        steps = self.steps_per_epoch(batch)
        enough = min(MOST_EPOCHS, max(1, round(ENOUGH_STEPS / steps)))
        self.epochs = enough if epochs is None else integer("epochs", epochs, 1)
        self._parameters = self._checked_model()

    def build(self, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        """Return a new model with the initial weights of a seed, in training mode.

        Weights are drawn in float32 and then converted, so they agree for every dtype.

        Raises:
            ModelError: the factory raises, or the module, its outputs or the loss do not fit.
        """
        shape, outputs = self.data.input_shape, self.data.outputs
        with torch_seeded(integer("seed", seed, 0), "model"):
            model = call_factory(self.model_name, self._factory, shape, outputs).float()
            scores = run_model(self.model_name, model, self.data)
        targets = tiny_batch(self.data)[1]
        check_scalar("loss", self.loss_name, self.loss, scores, targets)
        check_scalar("metric", self.score_name, self.metric, scores, targets)
        return model.to(dtype)

    def split(self, seed: int) -> Split:
        """Return the rows and the normalisation of a seed; computed once per seed."""
        seed = integer("seed", seed, 0)
        if seed not in self._splits:
            rows = split_rows(self.data, seed, self._validation)
            self._splits[seed] = Split(*rows, *self._normalisation(rows[0]))
        return self._splits[seed]

    def batch_size(self, batch: int | str | None = None) -> int:
        """Return a batch size in rows; None is the problem's own, ``"full"`` all training rows.

        Raises:
            SettingError: it is not an integer > 0, or larger than the training set.
        """
        batch = self.batch if batch is None else batch
        train = self._sizes["train"]
        if batch == "full":
            return train
        size = integer("batch", batch, 1, "; 'full' takes all training rows")
        if size > train:
            raise SettingError(
                f"batch must be <= {train}, the training rows of {self.data.name}, got {size};"
                " give a smaller one, or 'full'"
            )
        return size

    def steps_per_epoch(self, batch: int | str | None = None) -> int:
        """Return the number of whole batches in the training rows."""
        return self._sizes["train"] // self.batch_size(batch)

    def order(self, seed: int, epoch: int, batch: int | str | None = None) -> np.ndarray:
        """Return the rows of `Data.x` in each batch of an epoch, int64 [steps, B].

        Args:
            seed: fixes the split and the order.
            epoch: from 0. Every epoch is shuffled anew, unless the problem keeps one order.
            batch: as for `batch_size`; the rows that fill no whole batch are left out.
        """
        size, steps = self.batch_size(batch), self.steps_per_epoch(batch)
        seed, epoch = integer("seed", seed, 0), integer("epoch", epoch, 0)
        shuffle = rng(seed, "order", epoch if self.reshuffle else 0)
        rows = shuffle.permutation(self.split(seed).train)
        return rows[: steps * size].reshape(steps, size)

    def evaluation_rows(self, seed: int, part: str) -> np.ndarray:
        """Return the rows of `Data.x` that a part is evaluated on, int64, ascending.

        Args:
            seed: fixes the split.
            part: ``"validation"`` (empty where the problem has none) or ``"test"``.

        Raises:
            SettingError: the part is neither.
        """
        if part not in ("validation", "test"):
            raise unknown("part", part, ["validation", "test"])
        split = self.split(seed)
        return split.validation if part == "validation" else split.test

    def describe(self) -> dict[str, Any]:
        """Return what the problem is, as plain values that JSON can hold."""
        return {
            "name": self.name,
            "data": self.data.name,
            "model": self.model_name,
            "loss": self.loss_name,
            "score": self.score_name,
            "direction": self.direction,
            "input_shape": list(self.data.input_shape),
            "classes": self.data.classes,
            **self._sizes,
            "parameters": self._parameters,
        }

    def _normalisation(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        if self._normalise:
            return normalisation(self.data, rows)
        unit = torch.ones(self.data.x[0].ndim * (1,), dtype=torch.float64)
        return unit - 1, unit

    def _checked_sizes(self) -> dict[str, int]:
        # Every seed has the same sizes, so those of one seed are those of all.
        train, validation, test = map(len, split_rows(self.data, 0, self._validation))
        if not train or not test or (self._validation and not validation):
            raise DataError(
                f"{self.data.name}: {len(self.data.x)} rows are too few to split; train,"
                f" validation and test would get {train}, {validation} and {test}"
            )
        return {"train": train, "validation": validation, "test": test}

    def _checked_model(self) -> int:
        first, second = self.build(0), self.build(0)
        if first is second:
            raise ModelError(
                f"model {self.model_name!r}: the factory must return a new module at every call,"
                " got the same one twice"
            )
        again = second.state_dict()
        if not all(torch.equal(values, again[key]) for key, values in first.state_dict().items()):
            raise ModelError(
                f"model {self.model_name!r}: two builds from one seed differ; draw the initial"
                " weights with torch's default generator, which the seed sets"
            )
        return sum(weights.numel() for weights in first.parameters())


def _source(model: Any, data: Any, **settings: Any) -> str | None:
    """Return the expression of `Problem.source`; settings at their defaults are left out."""
    data = str(data) if isinstance(data, Path) else data
    given = {
        name: value
        for name, value in settings.items()
        if value != signature(Problem).parameters[name].default
    }
    if not all(isinstance(one, str | float | int) for one in (model, data, *given.values())):
        return None
    keywords = (f"{name}={_literal(value)}" for name, value in given.items())
    return f"Problem({', '.join((_literal(model), _literal(data), *keywords))})"


def _literal(value: str | float) -> str:
    # Strings as Python writes them, but with double quotes.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _checked_schedule(schedule: str | Schedule) -> str:
    text = schedule_text(schedule)
    get_schedule(text)  # raises when there is none of that name
    return text
