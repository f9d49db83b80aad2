"""Matrix methods and L-BFGS, torch code on Ravine's side. Muon iterates in the peer's dtype."""

from typing import Any

from ravine.testing._peers._row import Peer, named

_MATRICES = ((4, 3), (5, 2))
_MUON = {"lr": 1 / 16, "mu": 7 / 8}


def _adafactor(lib: Any, w: Any, h: Any) -> Any:
    return lib.Adafactor(
        w, eps=(h.eps1, h.eps2), **named(h, "lr beta2_decay d weight_decay"), maximize=True
    )


def _muon(lib: Any, w: Any, h: Any, **more: Any) -> Any:
    return lib.Muon(w, momentum=h.mu, **more, **named(h, "lr weight_decay"))


def _soap(lib: Any, w: Any, h: Any, **more: Any) -> Any:
    return lib.SOAP(
        w,
        betas=(h.beta1, h.beta2),
        precondition_frequency=3,
        **more,
        **named(h, "lr eps weight_decay"),
    )


def _double_muon(lib: Any, w: Any, h: Any, **more: Any) -> Any:
    """Return Muon that iterates in double precision, where the peer does."""
    group = {"params": w, "use_muon": True}
    return lib.MuonWithAdamW(
        [group], momentum=h.mu, eps=0.0, ns_dtype="float64", **more, **named(h, "lr weight_decay")
    )


def _lbfgs(lib: Any, w: Any, h: Any, **more: Any) -> Any:
    return lib.LBFGS(w, lr=h.lr, max_iter=4, history_size=5, **more)


ROWS = (
    Peer(
        "adafactor",
        "torch.optim",
        _adafactor,
        ours=_adafactor,
        settings={"beta2_decay": -0.6, "eps1": 1e-6, "eps2": 0.5, "d": 1.5},
        differs="no first moment; the decay is decoupled and scaled by the rate",
    ),
    Peer(
        "muon",
        "torch.optim",
        _muon,
        ours=_muon,
        shapes=_MATRICES,
        settings=_MUON,
        differs="the step is scaled by max(1, rows / columns)^0.5 unless told",
    ),
    Peer(
        "muon",
        "torch.optim",
        lambda lib, w, h: _muon(lib, w, h, nesterov=False, adjust_lr_fn="match_rms_adamw"),
        label="match_rms_adamw",
        ours=lambda lib, w, h: _muon(lib, w, h, nesterov=False, adjust_lr_fn="match_rms_adamw"),
        shapes=_MATRICES,
        settings=_MUON,
        differs="the step is scaled by 0.2 max(rows, columns)^0.5 when told",
    ),
    Peer(
        "muon",
        "pytorch-optimizer",
        lambda lib, w, h: lib.Muon(
            [{"params": w, "use_muon": True}], momentum=h.mu, **named(h, "lr weight_decay")
        ),
        ours=_muon,
        shapes=_MATRICES,
        settings=_MUON,
        differs="groups say use_muon; others are given to AdamW",
    ),
    Peer(
        "soap",
        "pytorch-optimizer",
        _soap,
        ours=_soap,
        difference=2.642e-5,
        differs="the bases are computed in single precision",
    ),
    Peer(
        "shampoo",
        "pytorch-optimizer",
        lambda lib, w, h: lib.Shampoo(w, matrix_eps=h.eps, **named(h, "lr weight_decay")),
        ours=lambda lib, w, h: lib.Shampoo(w, **named(h, "lr eps weight_decay")),
        differs="eps is called matrix_eps",
    ),
    Peer(
        "soap",
        "heavyball",
        lambda lib, w, h: lib.SOAP(
            w,
            betas=(h.beta1, h.beta2),
            precondition_frequency=3,
            storage_dtype="float64",
            **named(h, "lr eps weight_decay"),
        ),
        ours=_soap,
        difference=0.8133,
        differs="another variant, which differs from the second step on, for vectors too",
    ),
    Peer(
        "adafactor",
        "optax",
        lambda lib, _, h: lib.adafactor(
            h.lr,
            min_dim_size_to_factor=1,
            decay_rate=-h.beta2_decay,
            clipping_threshold=h.d,
            eps=h.eps1,
        ),
        ours=lambda lib, w, h: lib.Adafactor(
            w, eps=(h.eps1, h.eps2), **named(h, "lr beta2_decay d")
        ),
        shapes=(*_MATRICES, (3,)),
        settings={"beta2_decay": -0.6, "eps1": 1e-30, "eps2": 1e-3, "d": 1.5},
        difference=2.847e-8,
        differs="the share kept is rounded to single precision; factors the two longest"
        " dimensions, unless told only from 128 on; eps1 joins the squares; the rate is not"
        " bounded by 1 / sqrt(t)",
    ),
    Peer(
        "adafactor",
        "pytorch-optimizer",
        lambda lib, w, h: lib.AdaFactor(
            w,
            betas=(None, 0.999),
            decay_rate=h.beta2_decay,
            clip_threshold=h.d,
            relative_step=False,
            **named(h, "lr eps1 eps2"),
        ),
        ours=lambda lib, w, h: lib.Adafactor(
            w, eps=(h.eps1, h.eps2), **named(h, "lr beta2_decay d")
        ),
        settings={"beta2_decay": -0.6, "eps1": 1e-30, "eps2": 1e-3, "d": 1.5},
        differs="unless told, a first moment in bfloat16 and a rate without lr; eps1 joins the"
        " squares; the decay is scaled by the size of the weights too",
    ),
    Peer(
        "muon",
        "optax",
        lambda lib, _, h: lib.contrib.muon(
            h.lr,
            beta=h.mu,
            eps=0.0,
            nesterov=False,
            consistent_rms=0.2,
            weight_decay=h.weight_decay,
        ),
        label="match_rms_adamw",
        ours=lambda lib, w, h: _double_muon(
            lib, w, h, nesterov=False, adjust_lr_fn="match_rms_adamw"
        ),
        shapes=_MATRICES,
        settings=_MUON,
        differs="iterates in the dtype of the weights",
    ),
    Peer(
        "muon",
        "optax",
        lambda lib, _, h: lib.contrib.muon(
            h.lr, beta=h.mu, eps=0.0, nesterov=False, weight_decay=h.weight_decay
        ),
        ours=lambda lib, w, h: _double_muon(lib, w, h, nesterov=False),
        shapes=_MATRICES,
        settings=_MUON,
        difference=0.5982,
        differs="weights are taken as inputs x outputs: scaled by max(1, columns / rows)^0.5",
    ),
    Peer(
        "muon",
        "optax",
        lambda lib, _, h: lib.contrib.muon(h.lr, beta=h.mu, eps=0.0, weight_decay=h.weight_decay),
        label="nesterov",
        ours=_double_muon,
        shapes=((4, 4), (3, 3)),
        settings=_MUON,
        difference=0.1792,
        differs="looks ahead from means corrected for their start, each by another step",
    ),
    Peer(
        "muon",
        "heavyball",
        lambda lib, w, h: lib.Muon(
            w,
            betas=(h.mu, 0.0),
            nesterov=False,
            storage_dtype="float64",
            **named(h, "lr weight_decay"),
        ),
        ours=lambda lib, w, h: _double_muon(lib, w, h, nesterov=False),
        shapes=_MATRICES,
        settings=_MUON,
        difference=5.170,
        differs="other coefficients at each iteration",
    ),
    Peer(
        "lbfgs",
        "torch.optim",
        _lbfgs,
        ours=_lbfgs,
        settings={"lr": 0.5},
        differs="up to 4 iterations per step, without a line search",
    ),
    Peer(
        "lbfgs",
        "torch.optim",
        lambda lib, w, h: _lbfgs(lib, w, h, line_search_fn="strong_wolfe"),
        label="strong_wolfe",
        ours=lambda lib, w, h: _lbfgs(lib, w, h, line_search_fn="strong_wolfe"),
        settings={"lr": 1.0},
        differs="up to 4 iterations per step, the line search strong Wolfe",
    ),
)
