"""The authors' own packages: schedulefree, prodigyopt, dadaptation, and lion-pytorch."""

from ravine.testing._peers._row import Peer, named

_FREE = {"warmup_steps": 4.0, "r": 0.5, "weight_lr_power": 1.0}
_RATE_FREE = {"lr": 1.0, "d0": 1e-3, "d_coef": 2.0, "beta3": 0.97, "weight_decay": 1 / 64}

ROWS = (
    Peer(
        "schedule_free_sgd",
        "schedulefree",
        lambda lib, w, h: lib.SGDScheduleFree(
            w, momentum=h.beta, **named(h, "lr weight_decay warmup_steps r weight_lr_power")
        ),
        settings=_FREE,
        readout=True,
        differs="what is evaluated, after eval(), is the average x; y is what is stored",
    ),
    Peer(
        "schedule_free_adamw",
        "schedulefree",
        lambda lib, w, h: lib.AdamWScheduleFree(
            w,
            betas=(h.beta1, h.beta2),
            **named(h, "lr eps weight_decay warmup_steps r weight_lr_power"),
        ),
        settings=_FREE,
        readout=True,
        differs="what is evaluated, after eval(), is the average x; y is what is stored",
    ),
    Peer(
        "dadapt_sgd",
        "dadaptation",
        lambda lib, w, h: lib.DAdaptSGD(
            w, momentum=h.mu, **named(h, "lr weight_decay d0 growth_rate")
        ),
        settings=_RATE_FREE,
    ),
    Peer(
        "dadapt_adam",
        "dadaptation",
        lambda lib, w, h: lib.DAdaptAdam(
            w,
            betas=(h.beta1, h.beta2),
            **named(h, "lr eps weight_decay d0 growth_rate"),
        ),
        modifiers=("weight_decay",),
        settings=_RATE_FREE,
    ),
    Peer(
        "prodigy",
        "prodigyopt",
        lambda lib, w, h: lib.Prodigy(
            w,
            betas=(h.beta1, h.beta2),
            **named(h, "lr beta3 eps weight_decay d0 d_coef growth_rate"),
        ),
        settings=_RATE_FREE,
    ),
    Peer(
        "lion",
        "lion-pytorch",
        lambda lib, w, h: lib.Lion(w, betas=(h.beta1, h.beta2), **named(h, "lr weight_decay")),
    ),
)
