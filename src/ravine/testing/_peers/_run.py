"""Both sides of a row, along the same path."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any
from warnings import catch_warnings, simplefilter

import torch

from ravine.testing._paths import (
    SHAPES,
    Path,
    gradient,
    largest_difference,
    rates,
    start,
)
from ravine.testing._peers._jax import optax_path
from ravine.testing._peers._row import LIBRARIES, Peer, values
from ravine.testing._steps import optimizer_path, reference_path


def measured(row: Peer) -> float:
    """Return the largest difference between Ravine and the peer over 100 steps."""
    return largest_difference(ravine_path(row), peer_path(row))


def ravine_path(row: Peer) -> Path:
    """Return Ravine's weights after each step."""
    hypers = row.hypers()
    if row.traced():
        rule = row.modified_rule()
        along = (start(row.shapes or SHAPES), gradient, rates(hypers["lr"]), hypers)
        return reference_path(rule, *along, readout=row.readout)
    return _torch_path(row, import_module("ravine.optim"), row.ours or row.make)


def peer_path(row: Peer) -> Path:
    """Return the peer's weights after each step."""
    library = LIBRARIES[row.library]
    if library.kind == "optax":
        return optax_path(row)
    module = import_module(library.module)
    # What a library prints and warns of is its own affair.
    with _uncompiled(library.name), redirect_stdout(StringIO()), catch_warnings():
        simplefilter("ignore")
        return _torch_path(row, module, row.make)


@contextmanager
def _uncompiled(library: str) -> Iterator[None]:
    """Switch HeavyBall's compiler off while a row runs: it takes seconds and changes rounding."""
    if library != "heavyball":
        yield
        return
    module: Any = import_module("heavyball.utils")
    before, module.compile_mode = module.compile_mode, None
    try:
        yield
    finally:
        module.compile_mode = before


def peer_values(row: Peer, hypers: Mapping[str, Any]) -> Any:
    """Return what `Peer.make` reads: hyper-parameters, and whether the row ascends."""
    return values({**hypers, "maximize": "maximize" in row.modifiers})


def _torch_path(row: Peer, module: Any, make: Any) -> Path:
    hypers = row.hypers()
    chosen = peer_values(row, hypers)
    along = (start(row.shapes or SHAPES), gradient, rates(hypers["lr"]))
    with _double():
        return optimizer_path(lambda w: make(module, w, chosen), *along, readout=row.readout)


@contextmanager
def _double() -> Iterator[None]:
    """Let libraries hold numbers per tensor in double precision: some go by torch's default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
