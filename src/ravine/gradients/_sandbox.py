"""A copy of model, loss and batch to experiment on: same answers every time, nothing outside moves.

Everything random, and what modules keep, is put back before each evaluation, so that the loss is a
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
from ravine.gradients._draws import Source, sources_of
from ravine.gradients._held import Kept, modules_behind, written
from ravine.gradients._nested import mapped, named_tensors, tensors_in
from ravine.gradients._tied import call_with, places


class Whole(nn.Module):
    """Model and loss as one module, from inputs to the loss."""

    def __init__(self, model: nn.Module, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, inputs: Sequence[Any], targets: Any) -> Tensor:
        """Return the loss of a batch; model and loss get copies, which they may write to."""
        given, aims = (mapped(part, torch.clone) for part in (inputs, targets))
        return self.loss(call_model(self.model, given), aims)


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
        needed: Whether the caller's own tensor needs a gradient, for each subject.
        outside: Modules that are not copied, as they stand behind a loss function, by name.
        moving: Tensors that an evaluation writes to, with the values put back before each.
        standing: Entries of modules in whose place an evaluation puts something else.
        sources: Generators that an evaluation may draw from, seeded before each.
        takes_gradients: Whether an evaluation takes gradients itself, which needs a graph.
    """

    whole: Whole
    inputs: list[Any]
    targets: Any
    dtype: torch.dtype
    seed: int
    names: list[str] = field(default_factory=list)
    subjects: list[Tensor] = field(default_factory=list)
    needed: list[bool] = field(default_factory=list)
    outside: dict[str, nn.Module] = field(default_factory=dict)
    moving: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    standing: list[Kept] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    takes_gradients: bool = False

    def loss(self) -> Tensor:
        """Return the loss at what the subjects hold now, with its graph where one is kept."""
        self.hold()
        return self.forward()

    def forward(self) -> Tensor:
        """Return the loss from wherever buffers and generators stand."""
        if torch.is_grad_enabled():
            return self.whole(self.inputs, self.targets)
        if not self.takes_gradients:
            try:
                return self.whole(self.inputs, self.targets)
            except RuntimeError:  # that of torch.autograd.grad where there is no graph, perhaps
                self.hold()
        with torch.enable_grad():
            loss = self.whole(self.inputs, self.targets).detach()
        self.takes_gradients = True
        return loss

    def hold(self) -> None:
        """Put every generator, and whatever modules keep, to where an evaluation starts."""
        for source in self.sources:
            source.seed(self.seed)
        for entry in self.standing:
            entry.put_back()
        for tensor, values in self.moving:
            written(tensor, values)

    def value(self) -> Tensor:
        """Return the loss without its graph."""
        with torch.no_grad():
            return self.loss().detach()

    def pure(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the loss as a function of the subjects, for `torch.vmap`."""
        self.hold()
        count = sum(one.requires_grad for one in self.whole.parameters())
        tensors = dict(zip(map(id, self.subjects[:count]), parts[:count], strict=True))
        left = iter(parts[count:])
        inputs = mapped(self.inputs, lambda one: next(left) if one.is_floating_point() else one)
        tensors |= self._own_buffers(parts)
        return call_with(self.whole, places(self.whole), tensors, (inputs, self.targets))

    def _own_buffers(self, parts: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return a copy of every moving buffer that vmap sees as belonging to the point."""
        if not self.moving:
            return {}
        tie = parts_sum(parts) * 0
        return {id(one): (one + tie.to(one.dtype)).clone() for one, _ in self.moving}


def parts_sum(parts: Sequence[Tensor]) -> Tensor:
    """Return a number that depends on the first entry of every part."""
    return torch.stack([part.reshape(-1)[0].detach() for part in parts if part.numel()]).sum()


def sandbox(
    model: nn.Module,
    loss: Callable[..., Any],
    batch: Sequence[Any],
    dtype: torch.dtype,
    seed: int,
    *,
    mixed: bool = False,
) -> Sandbox:
    """Return a private copy of model, loss and batch in a dtype, on the model's device.

    Args:
        model: Copied.
        loss: Copied where it is a module.
        batch: Copied.
        dtype: What floats are converted to.
        seed: Fixes everything random in an evaluation.
        mixed: Every tensor keeps its own dtype; `dtype` only tells how exact evaluations are.

    Raises:
        ModelError: The model cannot be copied.
    """
    to = None if mixed else dtype
    whole = Whole(_copied("model", model, to), _copied("loss", loss, to))
    *inputs, targets = [mapped(part, lambda one: _converted(one, to)) for part in batch]
    made = Sandbox(whole, inputs, targets, dtype, seed)
    made.sources, made.outside = sources_of(whole), modules_behind(loss)
    made.needed = [one.requires_grad for one in whole.parameters() if one.requires_grad]
    made.needed += [one.requires_grad for one in tensors_in(batch[:-1]) if one.is_floating_point()]
    for name, parameter in whole.named_parameters():
        parameter.grad = None
        if parameter.requires_grad:
            parameter.data = parameter.data.contiguous()
            made.names.append(name.removeprefix("model."))
            made.subjects.append(parameter)
    own = inputs[0] if len(inputs) == 1 else inputs
    for name, tensor in named_tensors(own, "input"):
        if tensor.is_floating_point():
            made.names.append(name)
            made.subjects.append(tensor.requires_grad_())
    return made


def _copied(what: str, thing: Any, dtype: torch.dtype | None) -> Any:
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
        with torch.no_grad():  # or copies of torch.jit parameters hang on the originals
            made = copy.deepcopy(thing, memo)
    except Exception as error:
        raise ModelError(
            f"{what}: the check works on a copy, and copy.deepcopy raised {first_line(error)};"
            " give a module that can be copied"
        ) from error
    for own, theirs in zip(made.parameters(), thing.parameters(), strict=True):
        own.requires_grad_(theirs.requires_grad)
    _cast_all(made, dtype)
    for module in made.modules():
        _convert_constants(module, dtype)
        _stop_iterations(module)
    return made


def _cast_all(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Convert parameters and buffers.

    ``module.to`` would cut the imaginary part of complex buffers off, and untie tied ones.
    """
    done: dict[int, tuple[Tensor, Tensor]] = {}  # the first keeps its identity from being reused

    def cast(tensor: Tensor) -> Tensor:
        return done.setdefault(id(tensor), (tensor, _cast(tensor, dtype)))[1]

    module._apply(cast)


def _convert_constants(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Convert the tensors of a module that are neither parameters nor buffers."""
    for name, value in list(vars(module).items()):
        if isinstance(value, Tensor):
            needs = value.is_leaf and value.requires_grad
            vars(module)[name] = _converted(value, dtype).requires_grad_(needs)


def _stop_iterations(module: nn.Module) -> None:
    """Let spectral normalisation take its singular vectors as they stand.

    In training mode it improves them at each evaluation, by the weight, and by design gives no
    gradient for that: differences of such a loss say nothing about its gradient.
    """
    for one in (module, *module._forward_pre_hooks.values()):
        if hasattr(one, "n_power_iterations"):
            one.n_power_iterations = 0


def _converted(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a contiguous copy without graph, in a dtype where it is float or complex.

    None: in its own.
    """
    return _cast(tensor.detach().clone(memory_format=torch.contiguous_format), dtype)


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None:
        return tensor
    if tensor.is_complex():
        return tensor.to(dtype.to_complex())
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


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
