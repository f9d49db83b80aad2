"""pytorch-optimizer. It passes torch's SGD, Adam, AdamW, NAdam and RMSprop on unchanged."""

from typing import Any

from ravine.testing._peers._row import Peer, named

_DECAYED = ("weight_decay", "maximize")
_DECOUPLED = ("decoupled_weight_decay", "maximize")
_USUAL = "lr weight_decay maximize"

_FREE = {"warmup_steps": 4.0, "r": 0.5, "weight_lr_power": 1.0}
_TRUST = {"trust_coefficient": 1 / 16, "lr": 1.0}
_RATE_FREE = {"lr": 1.0, "d0": 1e-3, "d_coef": 2.0, "beta3": 0.97, "weight_decay": 1 / 64}


def _adam(make: Any, w: Any, h: Any, **more: Any) -> Any:
    return make(w, betas=(h.beta1, h.beta2), eps=h.eps, **more, **named(h, _USUAL))


ROWS = (
    Peer(
        "momentum",
        "pytorch-optimizer",
        lambda lib, w, h: lib.SGDW(w, momentum=h.mu, dampening=h.dampening, **named(h, _USUAL)),
        modifiers=_DECOUPLED,
        differs="SGDW decays decoupled unless told",
    ),
    Peer(
        "nesterov",
        "pytorch-optimizer",
        lambda lib, w, h: lib.SGDW(
            w, momentum=h.mu, dampening=h.dampening, nesterov=True, **named(h, _USUAL)
        ),
        modifiers=_DECOUPLED,
        differs="SGDW allows dampening with nesterov, which torch refuses",
    ),
    Peer(
        "adadelta",
        "pytorch-optimizer",
        lambda lib, w, h: lib.AdaDelta(w, rho=h.rho, eps=h.eps, **named(h, _USUAL)),
        modifiers=_DECAYED,
        settings={"lr": 0.75},
    ),
    Peer(
        "asgd",
        "pytorch-optimizer",
        lambda lib, w, h: lib.ASGD(w, **named(h, _USUAL)),
        modifiers=_DECOUPLED,
        difference=5.503e-2,
        differs="another algorithm of this name, with a rate from estimated smoothness",
    ),
    Peer(
        "signsgd",
        "pytorch-optimizer",
        lambda lib, w, h: lib.SignSGD(w, momentum=h.beta, **named(h, _USUAL)),
        convention="signum",
        modifiers=_DECOUPLED,
    ),
    Peer(
        "adamax",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.AdaMax, w, h),
        modifiers=_DECAYED,
    ),
    Peer(
        "radam",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.RAdam, w, h, degenerated_to_sgd=True),
        modifiers=_DECOUPLED,
        differs="early steps stand still unless degenerated_to_sgd=True",
    ),
    Peer(
        "adabelief",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.AdaBelief, w, h),
        modifiers=_DECOUPLED,
    ),
    Peer(
        "yogi",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.Yogi, w, h, initial_accumulator=h.initial_accumulator_value),
        convention="optax",
        modifiers=_DECOUPLED,
        settings={"initial_accumulator_value": 1e-6},
        differs="both moments start at 1e-6 and are corrected, as in optax",
    ),
    Peer(
        "lion",
        "pytorch-optimizer",
        lambda lib, w, h: lib.Lion(w, betas=(h.beta1, h.beta2), **named(h, _USUAL)),
        modifiers=("maximize",),
    ),
    Peer(
        "adan",
        "pytorch-optimizer",
        lambda lib, w, h: lib.Adan(
            w, betas=(h.beta1, h.beta2, h.beta3), eps=h.eps, **named(h, _USUAL)
        ),
        settings={"beta3": 63 / 64},
    ),
    Peer(
        "adan",
        "pytorch-optimizer",
        lambda lib, w, h: lib.Adan(
            w, betas=(h.beta1, h.beta2, h.beta3), eps=h.eps, **named(h, _USUAL)
        ),
        label="maximize",
        modifiers=("maximize",),
        difference=6.487e-2,
        differs="the first change of the gradient is twice the gradient, where it should be 0",
        settings={"beta3": 63 / 64},
    ),
    Peer(
        "adopt",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.ADOPT, w, h),
        modifiers=_DECAYED,
        difference=5.581e-2,
        differs="the clip counts one step more than the paper's",
    ),
    Peer(
        "ademamix",
        "pytorch-optimizer",
        lambda lib, w, h: lib.AdEMAMix(
            w,
            betas=(h.beta1, h.beta2, h.beta3),
            alpha=h.alpha,
            t_alpha_beta3=h.warmup,
            eps=h.eps,
            **named(h, _USUAL),
        ),
        modifiers=_DECAYED,
        settings={"beta3": 127 / 128, "alpha": 4.0, "warmup": 50.0},
    ),
    Peer(
        "novograd",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.NovoGrad, w, h),
        modifiers=("maximize",),
    ),
    Peer(
        "lars",
        "pytorch-optimizer",
        lambda lib, w, h: lib.LARS(
            w, momentum=h.mu, trust_coefficient=h.trust_coefficient, **named(h, _USUAL)
        ),
        modifiers=("maximize",),
        settings=_TRUST,
        difference=1.0,
        differs="the learning rate is outside the velocity; vectors are neither scaled nor decayed",
    ),
    Peer(
        "lamb",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.Lamb, w, h, max_grad_norm=0.0),
        modifiers=("maximize",),
        difference=0.6915,
        differs="the decay stays out of the trust ratio, and only the first moment is corrected",
    ),
    Peer(
        "schedule_free_sgd",
        "pytorch-optimizer",
        lambda lib, w, h: lib.ScheduleFreeSGD(
            w, momentum=h.beta, **named(h, _USUAL + " warmup_steps r weight_lr_power")
        ),
        modifiers=("maximize",),
        settings=_FREE,
    ),
    Peer(
        "schedule_free_adamw",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(
            lib.ScheduleFreeAdamW, w, h, **named(h, "warmup_steps r weight_lr_power")
        ),
        modifiers=("maximize",),
        settings=_FREE,
    ),
    Peer(
        "dadapt_sgd",
        "pytorch-optimizer",
        lambda lib, w, h: lib.DAdaptSGD(w, momentum=h.mu, **named(h, _USUAL + " d0 growth_rate")),
        settings=_RATE_FREE,
        difference=2.518e-6,
        differs="the first norm is rounded to single precision",
    ),
    Peer(
        "dadapt_adam",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.DAdaptAdam, w, h, **named(h, "d0 growth_rate")),
        modifiers=("weight_decay",),
        settings=_RATE_FREE,
    ),
    Peer(
        "prodigy",
        "pytorch-optimizer",
        lambda lib, w, h: _adam(lib.Prodigy, w, h, **named(h, "beta3 d0 d_coef growth_rate")),
        settings=_RATE_FREE,
    ),
    Peer(
        "sam",
        "pytorch-optimizer",
        lambda lib, w, h: lib.SAM(
            w,
            lib.SGD,
            momentum=h.mu,
            **named(h, "lr rho dampening"),
        ),
        settings={"rho": 0.25},
        difference=2.526e-8,
        differs="the norm is rounded to single precision",
    ),
    Peer(
        "lookahead",
        "pytorch-optimizer",
        lambda lib, w, h: lib.Lookahead(
            lib.Adam(w, lr=h.lr, betas=(h.beta1, h.beta2), eps=h.eps), k=h.sync, alpha=h.alpha
        ),
        settings={"alpha": 0.375, "sync": 6},
    ),
)
