"""JAX + optax: `vmap` over members, `scan` over steps, all in one compiled call."""

import time
from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 22  # of one compiled call, about an epoch of the digits

adam = optax.scale_by_adam()  # the rate is applied by hand: every member has its own


def loss(p, x, y):
    """Return the mean cross-entropy; weights are [outputs, inputs], the faster layout on CPU."""
    for w, b in p[:-1]:
        x = jax.nn.relu(x @ w.T + b)
    w, b = p[-1]
    return optax.softmax_cross_entropy_with_integer_labels(x @ w.T + b, y).mean()


def start(key, sizes: list[int], members: int):
    """Return stacked weights and biases."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        key, sub = jax.random.split(key)
        w = jax.random.normal(sub, (members, outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((w, jnp.zeros((members, outputs))))
    return layers


def prepare(settings: dict) -> Callable[[], tuple[int, float]]:
    """Return a function that trains a stack for about `settings["round"]` seconds."""
    members, batch = settings["members"], settings["batch"]
    x, y = (jnp.asarray(np.load(f"{settings['data']}/{name}.npy")) for name in ("x", "y"))
    y = y.astype(jnp.int32)
    rng = np.random.default_rng(settings["process"])
    shape = (STEPS, members, batch)
    rows = jnp.asarray(rng.integers(0, len(x), shape), dtype=jnp.int32)
    rates = jnp.full((members,), 1e-3)

    def member_step(p, state, rate, rows):
        value, g = jax.value_and_grad(loss)(p, x[rows], y[rows])
        u, state = adam.update(g, state, p)
        return jax.tree.map(lambda a, b: a - rate * b, p, u), state, value

    def epoch(p, state):
        def step(carry, rows):
            p, state, value = jax.vmap(member_step)(*carry, rates, rows)
            return (p, state), value

        return jax.lax.scan(step, (p, state), rows)

    run = jax.jit(epoch, donate_argnums=(0, 1))
    p = start(jax.random.key(0), settings["sizes"], members)
    held = [p, jax.vmap(adam.init)(p)]

    def train(calls: int) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            held[:], _ = run(*held)
        jax.block_until_ready(held)
        return time.perf_counter() - begin

    train(2)
    calls = max(1, round(settings["round"] / train(1)))
    return lambda: (calls * STEPS * members, train(calls))
