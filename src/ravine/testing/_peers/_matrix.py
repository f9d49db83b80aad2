"""Matrix methods, which are torch code on both sides. Muon iterates in bfloat16 on both."""

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
)
