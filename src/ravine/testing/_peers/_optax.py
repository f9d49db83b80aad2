"""optax, in double precision. A coupled decay is ``add_decayed_weights`` before the algorithm."""

from typing import Any

from ravine.testing._peers._row import Peer, named

_COUPLED = ("weight_decay",)
_DECOUPLED = ("decoupled_weight_decay",)
_RPROP = {"eta_minus": 0.25, "eta_plus": 1.5, "step_min": 1e-3, "step_max": 0.25}
_TRUST = {"trust_coefficient": 1 / 16, "lr": 1.0}
_PRODIGY = {"lr": 1.0, "d0": 1e-3, "d_coef": 2.0, "beta3": 0.97, "weight_decay": 1 / 64}
# optax's rprop takes no schedule: its rate is only the first step size.
_LR = 1 / 32


def _decayed(lib: Any, h: Any, transform: Any) -> Any:
    return lib.chain(lib.add_decayed_weights(h.weight_decay), transform)


def _adam(h: Any) -> dict[str, Any]:
    return {"b1": h.beta1, "b2": h.beta2, "eps": h.eps}


ROWS = (
    Peer("sgd", "optax", lambda lib, _, h: _decayed(lib, h, lib.sgd(h.lr)), modifiers=_COUPLED),
    Peer(
        "momentum",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.sgd(h.lr, momentum=h.mu)),
        modifiers=_COUPLED,
        settings={"dampening": 0.0},
        differs="no dampening",
    ),
    Peer(
        "nesterov",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.sgd(h.lr, momentum=h.mu, nesterov=True)),
        modifiers=_COUPLED,
        settings={"dampening": 0.0},
    ),
    Peer(
        "adagrad",
        "optax",
        lambda lib, _, h: _decayed(
            lib, h, lib.adagrad(h.lr, **named(h, "initial_accumulator_value eps"))
        ),
        convention="optax",
        modifiers=_COUPLED,
        differs="eps inside the root",
    ),
    Peer(
        "adagrad",
        "optax",
        lambda lib, _, h: _decayed(
            lib, h, lib.adagrad(h.lr, **named(h, "initial_accumulator_value eps"))
        ),
        modifiers=_COUPLED,
        label="as-torch",
        settings={"lr_decay": 0.0},
        difference=0.0001576,
        differs="eps inside the root; the accumulator starts at 0.1 unless told",
    ),
    Peer(
        "adadelta",
        "optax",
        lambda lib, _, h: lib.adadelta(h.lr, **named(h, "rho eps weight_decay")),
        modifiers=_COUPLED,
        settings={"lr": 0.75},
    ),
    Peer(
        "rmsprop",
        "optax",
        lambda lib, _, h: _decayed(
            lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps, eps_in_sqrt=False)
        ),
        modifiers=_COUPLED,
        differs="eps goes inside the root unless told",
    ),
    Peer(
        "rmsprop",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps)),
        label="default",
        convention="optax",
        modifiers=_COUPLED,
        differs="eps inside the root",
    ),
    Peer(
        "rmsprop_centred",
        "optax",
        lambda lib, _, h: _decayed(
            lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps, eps_in_sqrt=False, centered=True)
        ),
        modifiers=_COUPLED,
        differs="eps goes inside the root unless told",
    ),
    Peer(
        "rmsprop_momentum",
        "optax",
        lambda lib, _, h: _decayed(
            lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps, eps_in_sqrt=False, momentum=h.mu)
        ),
        modifiers=_COUPLED,
        difference=2.16,
        differs="the learning rate is inside the velocity, which differs once the rate changes",
    ),
    Peer(
        "adam",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.adam(h.lr, **_adam(h))),
        modifiers=_COUPLED,
    ),
    Peer(
        "amsgrad",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.amsgrad(h.lr, **_adam(h))),
        convention="optax",
        modifiers=_COUPLED,
        differs="the maximum is taken after bias correction",
    ),
    Peer(
        "amsgrad",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.amsgrad(h.lr, **_adam(h))),
        label="as-torch",
        modifiers=_COUPLED,
        difference=0.9882,
        differs="the maximum is taken after bias correction",
    ),
    Peer(
        "adamw",
        "optax",
        lambda lib, _, h: lib.adamw(h.lr, weight_decay=h.weight_decay, **_adam(h)),
        differs="the decay joins the step, after the moments: the same sum as before it",
    ),
    Peer(
        "rprop",
        "optax",
        lambda lib, _, h: lib.rprop(
            _LR,
            **named(h, "eta_minus eta_plus"),
            min_step_size=h.step_min,
            max_step_size=h.step_max,
        ),
        settings=_RPROP,
        difference=2.691,
        differs="each step is the one computed at the step before, and the first does not move",
    ),
    Peer(
        "signsgd",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.sign_sgd(h.lr)),
        modifiers=_COUPLED,
    ),
    Peer(
        "signsgd",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.signum(h.lr, beta=h.beta)),
        convention="signum",
        modifiers=_COUPLED,
        label="signum",
    ),
    Peer(
        "adamax",
        "optax",
        lambda lib, _, h: lib.adamaxw(h.lr, weight_decay=h.weight_decay, **_adam(h)),
        modifiers=_DECOUPLED,
    ),
    Peer(
        "nadam",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.nadam(h.lr, **_adam(h))),
        convention="optax",
        modifiers=_COUPLED,
        differs="no momentum schedule",
    ),
    Peer(
        "nadam",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.nadam(h.lr, **_adam(h))),
        label="as-torch",
        modifiers=_COUPLED,
        difference=1.75,
        differs="no momentum schedule, where torch has momentum_decay",
    ),
    Peer(
        "radam",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.radam(h.lr, **_adam(h))),
        convention="optax",
        modifiers=_COUPLED,
        differs="eps is added to the root after bias correction",
    ),
    Peer(
        "radam",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.radam(h.lr, **_adam(h))),
        label="as-torch",
        modifiers=_COUPLED,
        difference=0.003122,
        differs="eps is added to the root after bias correction, in torch before it",
    ),
    Peer(
        "adabelief",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.adabelief(h.lr, eps_root=h.eps, **_adam(h))),
        modifiers=_COUPLED,
        differs="two numbers, eps and eps_root, for the two places of the paper's eps",
    ),
    Peer(
        "yogi",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.yogi(h.lr, **_adam(h))),
        convention="optax",
        modifiers=_COUPLED,
        settings={"initial_accumulator_value": 1e-6},
        differs="both moments start at 1e-6 and are corrected",
    ),
    Peer(
        "yogi",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.yogi(h.lr, **_adam(h))),
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
        lambda lib, _, h: lib.adan(h.lr, b3=h.beta3, eps_root=0.0, **_adam(h)),
        settings={"weight_decay": 0.0, "beta2": 0.5, "beta3": 63 / 64},
        label="half",
        differs="at beta2 = 1/2 the change has the same weight on both sides",
    ),
    Peer(
        "adan",
        "optax",
        lambda lib, _, h: lib.adan(h.lr, b3=h.beta3, eps_root=0.0, **_adam(h)),
        label="weighted",
        settings={"weight_decay": 0.0, "beta3": 63 / 64},
        difference=1.056,
        differs="the gradient's change is weighted by 1 - b2, where the authors' package has beta2",
    ),
    Peer(
        "adopt",
        "optax",
        lambda lib, _, h: _decayed(lib, h, lib.contrib.adopt(h.lr, **_adam(h))),
        modifiers=_COUPLED,
    ),
    Peer(
        "ademamix",
        "optax",
        lambda lib, _, h: lib.contrib.ademamix(
            h.lr, b3=h.beta3, **named(h, "alpha weight_decay"), **_adam(h)
        ),
        modifiers=_DECOUPLED,
        settings={"beta3": 127 / 128, "alpha": 4.0, "warmup": 0.0},
        differs="schedules of alpha and beta3 are given as functions",
    ),
    Peer(
        "novograd",
        "optax",
        lambda lib, _, h: lib.novograd(h.lr, weight_decay=h.weight_decay, **_adam(h)),
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
        lambda lib, _, h: lib.lamb(h.lr, weight_decay=h.weight_decay, **_adam(h)),
    ),
    Peer(
        "schedule_free_sgd",
        "optax",
        lambda lib, _, h: lib.contrib.schedule_free(
            lib.sgd(h.lr), h.lr, b1=h.beta, weight_lr_power=h.weight_lr_power
        ),
        settings={"weight_decay": 0.0, "warmup_steps": 0.0, "r": 0.0, "weight_lr_power": 2.0},
        difference=1.258e-3,
        differs="the average weighs by the largest rate so far, that of the next step included",
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
)
