"""optax's side of a row, in a process of its own.

JAX starts threads, after which no process may fork; Ravine's populations do.
"""

import atexit
import pickle
import subprocess
import sys
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ravine.testing._paths import SHAPES, Path, gradient, rates, start
from ravine.testing._peers._row import Peer, values


def optax_path(row: Peer) -> Path:
    """Return the weights after each step of optax, in double precision.

    The process is started once, and told the name of the row.
    """
    process = _started()
    assert process.stdin is not None
    assert process.stdout is not None
    pickle.dump(row.id, process.stdin)
    process.stdin.flush()
    answer = pickle.load(process.stdout)
    if isinstance(answer, Exception):
        raise answer
    return answer


@cache
def _started() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.communicate)  # the end of its input ends it
    return process


def serve() -> None:
    """Answer names of rows from standard input by paths on standard output."""
    rows = {row.id: row for row in import_module("ravine.testing._peers").PEERS}
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            name = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: Any = computed(rows[name])
        except Exception as error:
            answer = RuntimeError(f"optax's side of {name} failed: {error!r}")
        pickle.dump(answer, answers)
        answers.flush()


def computed(row: Peer) -> Path:
    """Return optax's path, computed in this process; its rate is a schedule by step."""
    jax: Any = import_module("jax")
    optax: Any = import_module("optax")
    hypers = row.hypers()
    lrs = rates(hypers["lr"])
    with jax.enable_x64(True):
        table = jax.numpy.asarray(lrs)
        scheduled = {**hypers, "lr": lambda count: table[count]}
        transform = row.make(optax, None, values(scheduled))
        params: Any = [jax.numpy.asarray(w) for w in start(row.shapes or SHAPES)]
        if row.rule == "lookahead":
            params = optax.LookaheadParams.init_synced(params)
        return _stepped(jax, optax, transform, params, len(lrs), row.updates)


def _stepped(jax: Any, optax: Any, transform: Any, params: Any, steps: int, updates: int) -> Path:
    state, update = transform.init(params), jax.jit(transform.update)
    path = []
    for t in range(1, steps + 1):
        for _ in range(updates):
            now = [np.asarray(w) for w in getattr(params, "fast", params)]
            found = [jax.numpy.asarray(g) for g in gradient(now, t)]
            changes, state = update(found, state, params)
            params = optax.apply_updates(params, changes)
        path.append([np.asarray(w).copy() for w in getattr(params, "fast", params)])
    return path
