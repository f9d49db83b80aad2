"""Optimizers of other libraries under a name of Ravine's that no row runs, and why."""

# Library, its name for the optimizer, and the reason.
WITHOUT_ROW = (
    ("torch.optim", "SparseAdam", "for sparse gradients, which Ravine refuses"),
    *(
        ("pytorch-optimizer", name, "torch.optim's own class, exported again")
        for name in ("SGD", "Adam", "AdamW", "NAdam", "RMSprop", "LBFGS")
    ),
    (
        "optax",
        "lbfgs",
        "needs the loss as a function that JAX can trace, for a line search of its own",
    ),
    ("heavyball", "SAMWrapper", "adaptive SAM: the ascent is scaled by the weights squared"),
    ("heavyball", "MuonAdamW", "its Muon has other coefficients: see muon"),
)
