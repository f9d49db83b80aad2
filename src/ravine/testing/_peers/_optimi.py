"""torch-optimi. Its RMS and means are kept debiased, which is the same number."""

from typing import Any

from ravine.testing._peers._row import Peer, named

_COUPLED = ("weight_decay",)
_DECOUPLED = ("decoupled_weight_decay",)


def _adam(make: Any, w: Any, h: Any, **more: Any) -> Any:
    betas = (h.beta1, h.beta2)
    return make(w, betas=betas, triton=False, **more, **named(h, "lr eps weight_decay"))


ROWS = (
    Peer(
        "sgd",
        "torch-optimi",
        lambda lib, w, h: lib.SGD(w, **named(h, "lr weight_decay"), triton=False),
        modifiers=_COUPLED,
    ),
    Peer(
        "momentum",
        "torch-optimi",
        lambda lib, w, h: lib.SGD(
            w, momentum=h.mu, decouple_wd=True, triton=False, **named(h, "lr weight_decay")
        ),
        modifiers=_DECOUPLED,
        settings={"dampening": 0.0},
        differs="dampening=True means 1 - momentum, and dampens the first step too",
    ),
    Peer(
        "adam",
        "torch-optimi",
        lambda lib, w, h: _adam(lib.Adam, w, h),
        modifiers=_COUPLED,
        differs="eps 1e-6 and betas (0.9, 0.99) unless told",
    ),
    Peer(
        "adamw",
        "torch-optimi",
        lambda lib, w, h: _adam(lib.AdamW, w, h),
        differs="eps 1e-6 and betas (0.9, 0.99) unless told",
    ),
    Peer(
        "adamw",
        "torch-optimi",
        lambda lib, w, h: _adam(lib.AdamW, w, h, decouple_lr=True, max_lr=h.lr),
        label="decouple_lr",
        settings={"weight_decay": 1 / 2048},
        difference=0.1186,
        differs="decouple_lr=True decays by weight_decay lr / max_lr, without a further lr",
    ),
    Peer(
        "radam",
        "torch-optimi",
        lambda lib, w, h: _adam(lib.RAdam, w, h),
        convention="optax",
        modifiers=_COUPLED,
        differs="eps is added to the root after bias correction, as in optax",
    ),
    Peer(
        "lion",
        "torch-optimi",
        lambda lib, w, h: lib.Lion(
            w, betas=(h.beta1, h.beta2), triton=False, **named(h, "lr weight_decay")
        ),
    ),
    Peer(
        "adan",
        "torch-optimi",
        lambda lib, w, h: lib.Adan(
            w,
            betas=(h.beta1, h.beta2, h.beta3),
            triton=False,
            **named(h, "lr eps weight_decay"),
        ),
        settings={"beta3": 63 / 64},
        differs="weight_decay 0.02 and eps 1e-6 unless told",
    ),
)
