"""Built-in models, and the specification strings that name them.

Initial weights: He et al. 2015, arXiv:1502.01852 (normal, fan-in) and Glorot & Bengio 2010, AISTATS
(uniform, "Xavier"). Biases start at 0.
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod, sqrt

from torch import nn

from ravine.core.errors import SettingError, unknown

Factory = Callable[[tuple[int, ...], int], nn.Module]

LEAKY_SLOPE = 0.01
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
# He's variance makes up for the half that a rectifier cuts off; the others take Xavier's.
DEFAULT_INIT = {"relu": "he", "leaky_relu": "he", "tanh": "xavier", "sigmoid": "xavier"}
INITS = ("he", "xavier")
DEFAULT_WIDTHS = (64,)


def linear(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the linear model ``s = W x + b`` on flattened inputs, W by Xavier, b = 0."""
    return _layers(input_shape, (), outputs, "relu", "xavier")


def mlp_factory(spec: str) -> Factory:
    """Return the factory that ``mlp[:WIDTHS][:ACTIVATION][:INIT]`` names.

    Args:
        spec: ``mlp``, then in any order, each at most once: the hidden widths, integers > 0
            joined by commas (default 64); relu (default), leaky_relu (slope 0.01), tanh or
            sigmoid; he or xavier (default: he after relu and leaky_relu, else xavier).

    Raises:
        SettingError: a part is unknown or given twice, or a width is not an integer > 0.

    >>> [tuple(p.shape) for p in mlp_factory("mlp:32,16:tanh")((1, 8, 8), 10).parameters()]
    [(32, 64), (32,), (16, 32), (16,), (10, 16), (10,)]
    """
    given: dict[str, str] = {}
    for part in spec.split(":")[1:]:
        kind = _kind(spec, part)
        if kind in given:
            raise SettingError(
                f"model {spec!r}: {kind} must be given once, got {given[kind]!r} and {part!r}"
            )
        given[kind] = part
    widths = _widths(spec, given["widths"]) if "widths" in given else DEFAULT_WIDTHS
    activation = given.get("activation", "relu")
    init = given.get("init", DEFAULT_INIT[activation])
    return lambda shape, outputs: _layers(shape, widths, outputs, activation, init)


def _kind(spec: str, part: str) -> str:
    if part in ACTIVATIONS:
        return "activation"
    if part in INITS:
        return "init"
    if part and part[0] not in "-0123456789":
        raise unknown(f"part of model {spec!r}:", part, [*ACTIVATIONS, *INITS])
    return "widths"


def _widths(spec: str, part: str) -> tuple[int, ...]:
    widths = [int(width) if width.isdecimal() else 0 for width in part.split(",")]
    if min(widths) < 1:
        raise SettingError(
            f"model {spec!r}: widths must be integers > 0 joined by commas, got {part!r};"
            " write for example mlp:128,64"
        )
    return tuple(widths)


def _layers(
    shape: tuple[int, ...], widths: tuple[int, ...], outputs: int, activation: str, init: str
) -> nn.Module:
    sizes = [prod(shape), *widths, outputs]
    layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
    for fan_in, fan_out in pairwise(sizes):
        layers += [_initialised(nn.Linear(fan_in, fan_out), activation, init)]
        layers += [ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])  # the scores come straight from the last linear layer


def _initialised(layer: nn.Linear, activation: str, init: str) -> nn.Linear:
    if init == "he":
        slope = LEAKY_SLOPE if activation == "leaky_relu" else 0.0
        nn.init.normal_(layer.weight, std=sqrt(2 / (1 + slope**2) / layer.in_features))
    else:
        bound = sqrt(6 / (layer.in_features + layer.out_features))
        nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)
    return layer
