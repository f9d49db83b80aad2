"""optax, in double precision: gradient descent and its running sums and squares."""

from ravine.testing._peers._optax_calls import decayed
from ravine.testing._peers._row import Peer, named

_COUPLED = ("weight_decay",)
_RPROP = {"eta_minus": 0.25, "eta_plus": 1.5, "step_min": 1e-3, "step_max": 0.25}
# optax's rprop takes no schedule: its rate is only the first step size.
_LR = 1 / 32

ROWS = (
    Peer("sgd", "optax", lambda lib, _, h: decayed(lib, h, lib.sgd(h.lr)), modifiers=_COUPLED),
    Peer(
        "momentum",
        "optax",
        lambda lib, _, h: decayed(lib, h, lib.sgd(h.lr, momentum=h.mu)),
        modifiers=_COUPLED,
        settings={"dampening": 0.0},
        differs="no dampening",
    ),
    Peer(
        "nesterov",
        "optax",
        lambda lib, _, h: decayed(lib, h, lib.sgd(h.lr, momentum=h.mu, nesterov=True)),
        modifiers=_COUPLED,
        settings={"dampening": 0.0},
    ),
    Peer(
        "adagrad",
        "optax",
        lambda lib, _, h: decayed(
            lib, h, lib.adagrad(h.lr, **named(h, "initial_accumulator_value eps"))
        ),
        convention="optax",
        modifiers=_COUPLED,
        differs="eps inside the root",
    ),
    Peer(
        "adagrad",
        "optax",
        lambda lib, _, h: decayed(
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
        lambda lib, _, h: decayed(
            lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps, eps_in_sqrt=False)
        ),
        modifiers=_COUPLED,
        differs="eps goes inside the root unless told",
    ),
    Peer(
        "rmsprop",
        "optax",
        lambda lib, _, h: decayed(lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps)),
        label="default",
        convention="optax",
        modifiers=_COUPLED,
        differs="eps inside the root",
    ),
    Peer(
        "rmsprop_centred",
        "optax",
        lambda lib, _, h: decayed(
            lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps, eps_in_sqrt=False, centered=True)
        ),
        modifiers=_COUPLED,
        differs="eps goes inside the root unless told",
    ),
    Peer(
        "rmsprop_momentum",
        "optax",
        lambda lib, _, h: decayed(
            lib, h, lib.rmsprop(h.lr, decay=h.beta, eps=h.eps, eps_in_sqrt=False, momentum=h.mu)
        ),
        modifiers=_COUPLED,
        difference=2.16,
        differs="the learning rate is inside the velocity, which differs once the rate changes",
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
        lambda lib, _, h: decayed(lib, h, lib.sign_sgd(h.lr)),
        modifiers=_COUPLED,
    ),
    Peer(
        "signsgd",
        "optax",
        lambda lib, _, h: decayed(lib, h, lib.signum(h.lr, beta=h.beta)),
        convention="signum",
        modifiers=_COUPLED,
        label="signum",
    ),
)
