"""torch.optim."""

from typing import Any

from ravine.testing._peers._row import Peer, named

_DECAYED = ("weight_decay", "maximize")


def _sgd(lib: Any, w: Any, h: Any, **more: Any) -> Any:
    return lib.SGD(w, **more, **named(h, "lr weight_decay maximize"))


def _rmsprop(lib: Any, w: Any, h: Any, **more: Any) -> Any:
    return lib.RMSprop(w, alpha=h.beta, **more, **named(h, "lr eps weight_decay maximize"))


def _adam(make: Any, w: Any, h: Any, **more: Any) -> Any:
    betas = (h.beta1, h.beta2)
    return make(w, betas=betas, **more, **named(h, "lr eps weight_decay maximize"))


ROWS = (
    Peer("sgd", "torch.optim", _sgd, modifiers=_DECAYED),
    Peer(
        "momentum",
        "torch.optim",
        lambda lib, w, h: _sgd(lib, w, h, momentum=h.mu, dampening=h.dampening),
        modifiers=_DECAYED,
        differs="the first gradient enters the velocity undampened",
    ),
    Peer(
        "nesterov",
        "torch.optim",
        lambda lib, w, h: _sgd(lib, w, h, momentum=h.mu, nesterov=True),
        modifiers=_DECAYED,
        settings={"dampening": 0.0},
        differs="what is stored and evaluated is the look-ahead point",
    ),
    Peer(
        "adagrad",
        "torch.optim",
        lambda lib, w, h: lib.Adagrad(
            w, **named(h, "lr lr_decay initial_accumulator_value eps weight_decay maximize")
        ),
        modifiers=_DECAYED,
        differs="eps outside the root, and 1e-10 unless told",
    ),
    Peer(
        "adadelta",
        "torch.optim",
        lambda lib, w, h: lib.Adadelta(w, **named(h, "lr rho eps weight_decay maximize")),
        modifiers=_DECAYED,
        settings={"lr": 0.75},
    ),
    Peer(
        "rmsprop",
        "torch.optim",
        _rmsprop,
        modifiers=_DECAYED,
        differs="eps outside the root",
    ),
    Peer(
        "rmsprop_centred",
        "torch.optim",
        lambda lib, w, h: _rmsprop(lib, w, h, centered=True),
        modifiers=_DECAYED,
        differs="the variance is not kept from rounding below 0",
    ),
    Peer(
        "rmsprop_momentum",
        "torch.optim",
        lambda lib, w, h: _rmsprop(lib, w, h, momentum=h.mu),
        modifiers=_DECAYED,
        differs="the learning rate stays outside the velocity",
    ),
    Peer(
        "rmsprop_centred_momentum",
        "torch.optim",
        lambda lib, w, h: _rmsprop(lib, w, h, momentum=h.mu, centered=True),
        modifiers=_DECAYED,
        differs="the learning rate stays outside the velocity",
    ),
    Peer(
        "adam",
        "torch.optim",
        lambda lib, w, h: _adam(lib.Adam, w, h),
        modifiers=_DECAYED,
        differs="eps outside the root, after bias correction",
    ),
    Peer(
        "amsgrad",
        "torch.optim",
        lambda lib, w, h: _adam(lib.Adam, w, h, amsgrad=True),
        modifiers=_DECAYED,
        differs="the maximum is taken before bias correction",
    ),
    Peer(
        "adamw",
        "torch.optim",
        lambda lib, w, h: _adam(lib.AdamW, w, h),
        modifiers=("maximize",),
        differs="the decay is scaled by the learning rate of the step",
    ),
    Peer(
        "asgd",
        "torch.optim",
        lambda lib, w, h: lib.ASGD(w, **named(h, "lr lambd alpha t0 weight_decay maximize")),
        modifiers=_DECAYED,
        settings={"lambd": 1 / 64, "alpha": 0.75, "t0": 20.0},
        differs="a changed rate acts one step late; the decay lambd is always on",
    ),
    Peer(
        "rprop",
        "torch.optim",
        lambda lib, w, h: lib.Rprop(
            w,
            etas=(h.eta_minus, h.eta_plus),
            step_sizes=(h.step_min, h.step_max),
            **named(h, "lr maximize"),
        ),
        modifiers=("maximize",),
        settings={"eta_minus": 0.25, "eta_plus": 1.5, "step_min": 1e-3, "step_max": 0.25},
        differs="a gradient that turned is forgotten, and its step not taken back",
    ),
    Peer(
        "adamax",
        "torch.optim",
        lambda lib, w, h: _adam(lib.Adamax, w, h),
        modifiers=_DECAYED,
        differs="eps is added to every magnitude before the maximum",
    ),
    Peer(
        "nadam",
        "torch.optim",
        lambda lib, w, h: _adam(lib.NAdam, w, h, momentum_decay=h.momentum_decay),
        modifiers=_DECAYED,
        settings={"momentum_decay": 1 / 64},
        differs="the running mean keeps beta1; only the correction follows the schedule",
    ),
    Peer(
        "radam",
        "torch.optim",
        lambda lib, w, h: _adam(lib.RAdam, w, h),
        modifiers=_DECAYED,
        differs="eps is added to the root before bias correction; adapts from a length of 5",
    ),
)
