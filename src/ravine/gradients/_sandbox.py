"""A copy of model, loss and batch to experiment on: same answers every time, nothing outside moves.

Everything random and every buffer is put back before each evaluation, so that the loss is a
function of parameters and inputs alone. The caller's model, loss, batch and generators stay as
they are.
"""

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ravine.core.errors import ModelError, first_line

Part = Tensor | Any


class Whole(nn.Module):
    """Model and loss as one module, from inputs to the loss."""

    def __init__(self, model: nn.Module, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, inputs: Sequence[Any], targets: Any) -> Tensor:
        """Return the loss of a batch."""
        return self.loss(call_model(self.model, inputs), targets)


def call_model(model: nn.Module, inputs: Sequence[Any]) -> Any:
    """Return the model's output; one dict is given as keywords."""
    if len(inputs) == 1 and isinstance(inputs[0], Mapping):
        return model(**inputs[0])
    return model(*inputs)


@dataclass
class Sandbox:
    """A private copy in one dtype, with its subjects: the tensors that gradients are taken of.

    Args:
        whole: Copy of model and loss.
        inputs: Copies of what the model is called with.
        targets: Copy of the last part of the batch.
        dtype: Of parameters and float inputs.
        seed: Fixes everything random in an evaluation.
        names: Of the subjects, trained parameters first, then float inputs.
        subjects: The tensors themselves, contiguous leaves.
        moving: Buffers that an evaluation changes, with the values put back before each.
        hold_all: Whether Python's and NumPy's generators are held too.
        draws: Whether an evaluation may draw random numbers, so that generators are seeded.
    """

    whole: Whole
    inputs: list[Any]
    targets: Any
    dtype: torch.dtype
    seed: int
    names: list[str] = field(default_factory=list)
    subjects: list[Tensor] = field(default_factory=list)
    moving: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    hold_all: bool = False
    draws: bool = True

    def loss(self) -> Tensor:
        """Return the loss at what the subjects hold now, with its graph where one is kept."""
        self.hold()
        return self.forward()

    def forward(self) -> Tensor:
        """Return the loss from wherever buffers and generators stand."""
        return self.whole(self.inputs, self.targets)

    def hold(self) -> None:
        """Put every buffer and generator to where an evaluation starts."""
        if self.draws:
            self._seed_all()
        with torch.no_grad():
            for buffer, kept in self.moving:
                buffer.copy_(kept)

    def _seed_all(self) -> None:
        torch.manual_seed(self.seed)
        for generator in _generators(self.whole):
            generator.manual_seed(self.seed)
        if self.hold_all:
            random.seed(self.seed)
            np.random.seed(self.seed % 2**32)  # noqa: NPY002 - user code may draw from it

    def value(self) -> Tensor:
        """Return the loss without its graph."""
        with torch.no_grad():
            return self.loss().detach()

    def pure(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the loss as a function of the subjects, for `torch.vmap`."""
        if self.draws:
            self._seed_all()
        names = [name for name, one in self.whole.named_parameters() if one.requires_grad]
        count = len(names)
        table = dict(zip(names, parts[:count], strict=True)) | self._own_buffers(parts)
        inputs, left = _with_inputs(self.inputs, list(parts[count:]))
        assert not left
        return torch.func.functional_call(self.whole, table, (inputs, self.targets))

    def _own_buffers(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return a copy of every moving buffer that vmap sees as belonging to the point."""
        if not self.moving:
            return {}
        tie = parts_sum(parts) * 0
        return {
            name: (buffer + tie.to(buffer.dtype)).clone()
            for name, buffer in self.whole.named_buffers()
            if any(buffer is one for one, _ in self.moving)
        }


def parts_sum(parts: Sequence[Tensor]) -> Tensor:
    """Return a number that depends on the first entry of every part."""
    return torch.stack([part.reshape(-1)[0].detach() for part in parts if part.numel()]).sum()


def sandbox(
    model: nn.Module, loss: Callable[..., Any], batch: Sequence[Any], dtype: torch.dtype, seed: int
) -> Sandbox:
    """Return a private copy of model, loss and batch in a dtype, on the model's device.

    Raises:
        ModelError: The model cannot be copied.
    """
    whole = Whole(_copied("model", model, dtype), _copied("loss", loss, dtype))
    *inputs, targets = [_converted(part, dtype, keep=False) for part in batch]
    made = Sandbox(whole, inputs, targets, dtype, seed)
    for name, parameter in whole.named_parameters():
        parameter.grad = None
        if parameter.requires_grad:
            parameter.data = parameter.data.contiguous()
            made.names.append(name.removeprefix("model."))
            made.subjects.append(parameter)
    for name, tensor in float_inputs(inputs):
        made.names.append(name)
        made.subjects.append(tensor.requires_grad_())
    return made


def float_inputs(inputs: Sequence[Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield name and tensor of every input that can have a gradient."""
    for i, part in enumerate(inputs):
        own = "input" if len(inputs) == 1 else f"input[{i}]"
        for key, one in part.items() if isinstance(part, Mapping) else [(None, part)]:
            if isinstance(one, Tensor) and one.is_floating_point():
                yield own if key is None else f"{own}[{key!r}]", one


def _with_inputs(inputs: Sequence[Any], tensors: list[Tensor]) -> tuple[list[Any], list[Tensor]]:
    """Return inputs with their float tensors replaced in order, and the tensors left over."""

    def put(one: Any) -> Any:
        return tensors.pop(0) if isinstance(one, Tensor) and one.is_floating_point() else one

    made = [
        {k: put(v) for k, v in part.items()} if isinstance(part, Mapping) else put(part)
        for part in inputs
    ]
    return made, tensors


def _copied(what: str, thing: Any, dtype: torch.dtype) -> Any:
    if not isinstance(thing, nn.Module):
        return thing
    # Tensors with a graph (old-style weight normalisation keeps one) refuse to be copied.
    memo = {
        id(value): value.detach().clone()
        for module in thing.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        made = copy.deepcopy(thing, memo)
    except Exception as error:
        raise ModelError(
            f"{what}: the check works on a copy, and copy.deepcopy raised {first_line(error)};"
            " give a module that can be copied"
        ) from error
    made = made.to(dtype)
    for module in made.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):  # a constant that is no buffer
                vars(module)[name] = _converted(value, dtype, keep=True)
    return made


def _converted(part: Any, dtype: torch.dtype, *, keep: bool) -> Any:
    """Return a copy with float tensors in a dtype; `keep` keeps whether they need gradients."""
    if isinstance(part, Mapping):
        return {key: _converted(one, dtype, keep=keep) for key, one in part.items()}
    if not isinstance(part, Tensor):
        return part
    made = part.detach().clone(memory_format=torch.contiguous_format)
    made = made.to(dtype) if made.is_floating_point() else made
    return made.requires_grad_(part.requires_grad) if keep and part.is_leaf else made


def _generators(whole: nn.Module) -> list[torch.Generator]:
    return [
        value
        for module in whole.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Generator)
    ]


@contextmanager
def outside_unmoved() -> Iterator[None]:
    """Put Python's, NumPy's and torch's generators back after a block."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002
