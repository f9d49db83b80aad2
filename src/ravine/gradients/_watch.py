"""Which module of a model first turns finite values into NaN or infinity."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from ravine.gradients._nested import tensors_in


class Watch:
    """Hooks on every module that record who makes values that are not finite.

    Attributes:
        events: Module and way, ``"in the forward pass"`` or ``"in the backward pass"``, in the
            order in which they happened.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self._handles: list[Any] = []

    @contextmanager
    def over(self, whole: nn.Module) -> Iterator[None]:
        """Watch the modules inside a whole while a block runs."""
        for name, module in whole.named_modules():
            if name:
                look = partial(self._look, _label(name, module))
                self._handles.append(module.register_forward_hook(look, with_kwargs=True))
        try:
            yield
        finally:
            for handle in self._handles:
                handle.remove()

    def _look(
        self, label: str, module: nn.Module, given: Any, named: Mapping[str, Any], made: Any
    ) -> None:
        """Look at a module's tensors now, and at their gradients when they come."""
        inputs, outputs = tensors_in((given, named)), tensors_in(made)
        weights = list(module.parameters(recurse=False))
        if _finite(inputs) and not _finite(outputs):
            own = "" if _finite(weights) else ", whose own weights are not finite"
            self.events.append((label, f"in the forward pass{own}"))
            return
        came: list[bool] = []
        self._hook(outputs, lambda gradient: came.append(_finite([gradient])))
        # Weights further inside count too: inputs that are integers have no gradient to look at.
        reached = [*inputs, *module.parameters()]
        self._hook(reached, partial(self._look_back, label, came))

    def _look_back(self, label: str, came: list[bool], gradient: Tensor) -> None:
        if came and all(came) and not _finite([gradient]):
            self.events.append((label, "in the backward pass"))

    def _hook(self, tensors: Sequence[Tensor], hook: Any) -> None:
        self._handles += [one.register_hook(hook) for one in tensors if one.requires_grad]


def _label(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    own = "the model itself" if name == "model" else name.removeprefix("model.")
    return f"{own} ({kind})"


def _finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(one.isfinite().all()) for one in tensors)
