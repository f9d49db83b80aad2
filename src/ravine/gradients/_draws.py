"""Random generators that an evaluation may draw from: their states, and how to seed them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Source:
    """One generator.

    Args:
        name: In words.
        state: Returns where it stands, as something that can be compared.
        seed: Puts it to where a seed starts.
    """

    name: str
    state: Callable[[], Any]
    seed: Callable[[int], Any]


def sources_of(whole: nn.Module) -> list[Source]:
    """Return the three generators that everybody shares, and those that modules hold."""
    shared = [
        Source("torch's default generator", _torch_state, torch.manual_seed),
        Source("Python's random", random.getstate, random.seed),
        Source(
            "NumPy's generator",
            lambda: _plain(np.random.get_state()),  # noqa: NPY002 - user code may draw from it
            lambda seed: np.random.seed(seed % 2**32),  # noqa: NPY002
        ),
    ]
    own = (
        _own(f"{name or type(module).__name__}.{key}".removeprefix("model."), value)
        for name, module in whole.named_modules()
        for key, value in vars(module).items()
    )
    return [*shared, *(one for one in own if one is not None)]


def _own(name: str, value: Any) -> Source | None:
    """Return a value of a module as a source, None where it is no generator that has a state."""
    if isinstance(value, torch.Generator):
        return Source(name, lambda: value.get_state().numpy().tobytes(), value.manual_seed)
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return Source(
            name,
            lambda: _plain(bits.state),
            lambda seed: setattr(bits, "state", type(bits)(seed).state),
        )
    if isinstance(value, np.random.RandomState):
        return Source(
            name, lambda: _plain(value.get_state()), lambda seed: value.seed(seed % 2**32)
        )
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return Source(name, value.getstate, value.seed)
    return None


def _torch_state() -> tuple[bytes, ...]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return tuple(one.numpy().tobytes() for one in (torch.get_rng_state(), *devices))


def _plain(state: Any) -> Any:
    """Return a state of NumPy's with bytes in place of arrays, whose equality is one answer."""
    if isinstance(state, dict):
        return {key: _plain(one) for key, one in state.items()}
    if isinstance(state, tuple):
        return tuple(_plain(one) for one in state)
    return state.tobytes() if isinstance(state, np.ndarray) else state


def drawn_from(sources: list[Source], evaluate: Callable[[], Any]) -> Iterator[Source]:
    """Yield the sources that stand elsewhere after a call."""
    before = [one.state() for one in sources]
    evaluate()
    yield from (one for one, kept in zip(sources, before, strict=True) if one.state() != kept)
