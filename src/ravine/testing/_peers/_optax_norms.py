"""optax, in double precision: what sums over tensors, wraps another rule, or takes matrices."""

from ravine.testing._peers._optax_calls import adam, decayed
from ravine.testing._peers._row import Peer, named

_DECOUPLED = ("decoupled_weight_decay",)
_TRUST = {"trust_coefficient": 1 / 16, "lr": 1.0}
_PRODIGY = {"lr": 1.0, "d0": 1e-3, "d_coef": 2.0, "beta3": 0.97, "weight_decay": 1 / 64}

ROWS = (
    Peer(
        "novograd",
        "optax",
        lambda lib, _, h: lib.novograd(h.lr, weight_decay=h.weight_decay, **adam(h)),
        convention="optax",
    ),
    Peer(
        "lars",
        "optax",
        lambda lib, _, h: lib.lars(
            h.lr, momentum=h.mu, **named(h, "trust_coefficient weight_decay")
        ),
        convention="optax",
        settings=_TRUST,
        differs="the trust ratio is that of the decayed gradient",
    ),
    Peer(
        "lars",
        "optax",
        lambda lib, _, h: lib.lars(
            h.lr, momentum=h.mu, **named(h, "trust_coefficient weight_decay")
        ),
        label="as-paper",
        settings=_TRUST,
        difference=1.05,
        differs="the trust ratio is that of the decayed gradient, in the paper that of both norms",
    ),
    Peer(
        "lamb",
        "optax",
        lambda lib, _, h: lib.lamb(h.lr, weight_decay=h.weight_decay, **adam(h)),
    ),
    Peer(
        "schedule_free_sgd",
        "optax",
        lambda lib, _, h: lib.contrib.schedule_free(
            lib.sgd(h.lr), h.lr, b1=h.beta, weight_lr_power=h.weight_lr_power
        ),
        settings={"weight_decay": 0.0, "warmup_steps": 0.0, "r": 0.0, "weight_lr_power": 2.0},
        difference=1.258e-3,
        differs="the average weighs by the largest rate so far, each counted one step early",
    ),
    Peer(
        "prodigy",
        "optax",
        lambda lib, _, h: lib.contrib.prodigy(
            h.lr,
            betas=(h.beta1, h.beta2),
            beta3=h.beta3,
            eps=h.eps,
            estim_lr0=h.d0,
            estim_lr_coef=h.d_coef,
            weight_decay=h.weight_decay,
        ),
        settings=_PRODIGY,
        difference=11.76,
        differs="bias is always corrected; no growth_rate",
    ),
    Peer(
        "dadapt_adam",
        "optax",
        lambda lib, _, h: lib.contrib.dadapt_adamw(
            h.lr, betas=(h.beta1, h.beta2), eps=h.eps, estim_lr0=h.d0, weight_decay=h.weight_decay
        ),
        modifiers=_DECOUPLED,
        settings=_PRODIGY,
        difference=7.93,
        differs="bias is always corrected, and the decay is scaled by d",
    ),
    Peer(
        "schedule_free_adamw",
        "optax",
        lambda lib, _, h: lib.contrib.schedule_free_adamw(
            h.lr, b1=h.beta1, b2=h.beta2, **named(h, "eps weight_decay weight_lr_power")
        ),
        label="no-power",
        settings={"warmup_steps": 0.0, "r": 0.0, "weight_lr_power": 0.0},
        differs="without a power of the rate the two are the same",
    ),
    Peer(
        "schedule_free_adamw",
        "optax",
        lambda lib, _, h: lib.contrib.schedule_free_adamw(
            h.lr, b1=h.beta1, b2=h.beta2, **named(h, "eps weight_decay weight_lr_power")
        ),
        settings={"warmup_steps": 0.0, "r": 0.0, "weight_lr_power": 2.0},
        difference=7.139e-3,
        differs="the average weighs by the largest rate so far, each counted one step early",
    ),
    Peer(
        "sam",
        "optax",
        lambda lib, _, h: lib.contrib.sam(
            decayed(lib, h, lib.sgd(h.lr, momentum=h.mu)),
            lib.chain(lib.contrib.normalize(), lib.sgd(h.rho)),
            sync_period=2,
        ),
        modifiers=("weight_decay",),
        settings={"rho": 0.25, "dampening": 0.0},
        updates=2,
        differs="a step is two updates, the first of which climbs",
    ),
    Peer(
        "lookahead",
        "optax",
        lambda lib, _, h: lib.lookahead(
            lib.adam(h.lr, **adam(h)), sync_period=h.sync, slow_step_size=h.alpha
        ),
        settings={"alpha": 0.375, "sync": 6},
        differs="fast and slow weights are held as one pair",
    ),
)
