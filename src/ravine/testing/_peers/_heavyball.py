"""HeavyBall, uncompiled and with its state in double precision."""

from typing import Any

from ravine.testing._peers._row import Peer, named

_DECOUPLED = ("decoupled_weight_decay",)
_FLOOR = "eps is a floor under the root, not added to it"


def _plain(h: Any) -> dict[str, Any]:
    return {"storage_dtype": "float64", **named(h, "lr weight_decay")}


def _adam(make: Any, w: Any, h: Any, **more: Any) -> Any:
    return make(w, betas=(h.beta1, h.beta2), eps=h.eps, **more, **_plain(h))


ROWS = (
    Peer(
        "momentum",
        "heavyball",
        lambda lib, w, h: lib.SGD(w, beta=h.mu, **_plain(h)),
        modifiers=_DECOUPLED,
        settings={"dampening": 0.0},
        differs="the decay is decoupled",
    ),
    Peer(
        "rmsprop",
        "heavyball",
        lambda lib, w, h: lib.RMSprop(w, betas=(0.0, h.beta), eps=h.eps, **_plain(h)),
        modifiers=_DECOUPLED,
        difference=1.248,
        differs=f"the mean square is corrected for its start at 0; {_FLOOR}",
    ),
    Peer(
        "adamw",
        "heavyball",
        lambda lib, w, h: _adam(lib.AdamW, w, h),
        difference=0.1090,
        differs=_FLOOR,
    ),
    Peer(
        "adamw",
        "heavyball",
        lambda lib, w, h: _adam(lib.AdamW, w, h),
        label="no-eps",
        settings={"eps": 0.0},
        differs="without eps the two are the same",
    ),
    Peer(
        "nadam",
        "heavyball",
        lambda lib, w, h: _adam(
            lib.NAdam, w, h, decoupled_weight_decay=True, momentum_decay=h.momentum_decay
        ),
        modifiers=_DECOUPLED,
        settings={"momentum_decay": 1 / 64, "eps": 0.0},
        differs="eps is a floor under the root, not added to it; here it is 0",
    ),
    Peer(
        "nadam",
        "heavyball",
        lambda lib, w, h: _adam(lib.NAdam, w, h, momentum_decay=h.momentum_decay),
        label="coupled",
        modifiers=("weight_decay",),
        settings={"momentum_decay": 1 / 64, "eps": 0.0},
        difference=0.5607,
        differs="a coupled decay is taken off the step again, so that weights grow by it",
    ),
    Peer(
        "ademamix",
        "heavyball",
        lambda lib, w, h: lib.AdEMAMix(
            w, betas=(h.beta1, h.beta2, h.beta3), alpha=h.alpha, eps=h.eps, **_plain(h)
        ),
        modifiers=_DECOUPLED,
        settings={"beta3": 127 / 128, "alpha": 4.0, "eps": 0.0},
        differs="eps is a floor under the root, not added to it; here it is 0",
    ),
    Peer(
        "adopt",
        "heavyball",
        lambda lib, w, h: _adam(lib.ADOPT, w, h),
        modifiers=_DECOUPLED,
        difference=1.152,
        differs=f"no clip, the betas are corrected for their start, and {_FLOOR}",
    ),
    Peer(
        "schedule_free_adamw",
        "heavyball",
        lambda lib, w, h: _adam(lib.SFAdamW, w, h, **named(h, "r weight_lr_power")),
        settings={"warmup_steps": 0.0, "r": 0.5, "weight_lr_power": 0.0, "eps": 0.0},
        label="no-power",
        differs="without a power of the rate the two are the same",
    ),
    Peer(
        "schedule_free_adamw",
        "heavyball",
        lambda lib, w, h: _adam(lib.SFAdamW, w, h, **named(h, "r weight_lr_power")),
        settings={"warmup_steps": 0.0, "r": 0.5, "weight_lr_power": 1.0, "eps": 0.0},
        difference=0.3288,
        differs="the average weighs by the rate of the step, not by the largest so far",
    ),
)
