"""optax, in double precision: Adam and what came after it."""

from typing import Any

from ravine.testing._peers._optax_calls import adam, decayed
from ravine.testing._peers._row import Make, Peer, named

_COUPLED = ("weight_decay",)
_DECOUPLED = ("decoupled_weight_decay",)


def _coupled(name: str) -> Make:
    """Return the call of optax's function of a name with Adam's settings, after its decay."""
    return lambda lib, _, h: decayed(lib, h, getattr(lib, name)(h.lr, **adam(h)))


def _adan(lib: Any, _: Any, h: Any) -> Any:
    return lib.adan(h.lr, b3=h.beta3, eps_root=0.0, **adam(h))


ROWS = (
    Peer("adam", "optax", _coupled("adam"), modifiers=_COUPLED),
    Peer(
        "amsgrad",
        "optax",
        _coupled("amsgrad"),
        convention="optax",
        modifiers=_COUPLED,
        differs="the maximum is taken after bias correction",
    ),
    Peer(
        "amsgrad",
        "optax",
        _coupled("amsgrad"),
        label="as-torch",
        modifiers=_COUPLED,
        difference=0.9882,
        differs="the maximum is taken after bias correction",
    ),
    Peer(
        "adamw",
        "optax",
        lambda lib, _, h: lib.adamw(h.lr, weight_decay=h.weight_decay, **adam(h)),
        differs="the decay joins the step, after the moments: the same sum as before it",
    ),
    Peer(
        "adamax",
        "optax",
        lambda lib, _, h: lib.adamaxw(h.lr, weight_decay=h.weight_decay, **adam(h)),
        modifiers=_DECOUPLED,
    ),
    Peer(
        "nadam",
        "optax",
        _coupled("nadam"),
        convention="optax",
        modifiers=_COUPLED,
        differs="no momentum schedule",
    ),
    Peer(
        "nadam",
        "optax",
        _coupled("nadam"),
        label="as-torch",
        modifiers=_COUPLED,
        difference=1.75,
        differs="no momentum schedule, where torch has momentum_decay",
    ),
    Peer(
        "radam",
        "optax",
        _coupled("radam"),
        convention="optax",
        modifiers=_COUPLED,
        differs="eps is added to the root after bias correction",
    ),
    Peer(
        "radam",
        "optax",
        _coupled("radam"),
        label="as-torch",
        modifiers=_COUPLED,
        difference=0.003122,
        differs="eps is added to the root after bias correction, in torch before it",
    ),
    Peer(
        "adabelief",
        "optax",
        lambda lib, _, h: decayed(lib, h, lib.adabelief(h.lr, eps_root=h.eps, **adam(h))),
        modifiers=_COUPLED,
        differs="two numbers, eps and eps_root, for the two places of the paper's eps",
    ),
    Peer(
        "yogi",
        "optax",
        _coupled("yogi"),
        convention="optax",
        modifiers=_COUPLED,
        settings={"initial_accumulator_value": 1e-6},
        differs="both moments start at 1e-6 and are corrected",
    ),
    Peer(
        "yogi",
        "optax",
        _coupled("yogi"),
        label="as-paper",
        modifiers=_COUPLED,
        settings={"initial_accumulator_value": 1e-6},
        difference=0.9837,
        differs="both moments start at 1e-6 and are corrected, in the paper they are not",
    ),
    Peer(
        "lion",
        "optax",
        lambda lib, _, h: lib.lion(h.lr, b1=h.beta1, b2=h.beta2, weight_decay=h.weight_decay),
        differs="weight_decay 1e-3 unless told",
    ),
    Peer(
        "adan",
        "optax",
        _adan,
        settings={"weight_decay": 0.0, "beta2": 0.5, "beta3": 63 / 64},
        label="half",
        differs="at beta2 = 1/2 the change has the same weight on both sides",
    ),
    Peer(
        "adan",
        "optax",
        _adan,
        label="weighted",
        settings={"weight_decay": 0.0, "beta3": 63 / 64},
        difference=1.056,
        differs="the gradient's change is weighted by 1 - b2, where the authors' package has beta2",
    ),
    Peer(
        "adopt",
        "optax",
        lambda lib, _, h: decayed(lib, h, lib.contrib.adopt(h.lr, **adam(h))),
        modifiers=_COUPLED,
    ),
    Peer(
        "ademamix",
        "optax",
        lambda lib, _, h: lib.contrib.ademamix(
            h.lr, b3=h.beta3, **named(h, "alpha weight_decay"), **adam(h)
        ),
        modifiers=_DECOUPLED,
        settings={"beta3": 127 / 128, "alpha": 4.0, "warmup": 0.0},
        differs="schedules of alpha and beta3 are given as functions",
    ),
)
