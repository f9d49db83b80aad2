"""What many rows of optax call alike."""

from typing import Any


def decayed(lib: Any, h: Any, transform: Any) -> Any:
    """Return an algorithm after a coupled decay, which optax has as a transformation."""
    return lib.chain(lib.add_decayed_weights(h.weight_decay), transform)


def adam(h: Any) -> dict[str, Any]:
    """Return the arguments that all of optax's Adams share."""
    return {"b1": h.beta1, "b2": h.beta2, "eps": h.eps}
