"""The class of `ravine.optim` that each rule and method is used through."""

from ravine.rules import Rule

# Name to class, and the settings that choose this rule among those of the class.
CLASSES: dict[str, tuple[str, str]] = {
    "sgd": ("SGD", ""),
    "momentum": ("SGD", "momentum=0.9"),
    "nesterov": ("SGD", "momentum=0.9, nesterov=True"),
    "asgd": ("ASGD", ""),
    "signsgd": ("SignSGD", ""),
    "rprop": ("Rprop", ""),
    "adagrad": ("Adagrad", ""),
    "adadelta": ("Adadelta", ""),
    "rmsprop": ("RMSprop", ""),
    "rmsprop_centred": ("RMSprop", "centered=True"),
    "rmsprop_momentum": ("RMSprop", "momentum=0.9"),
    "rmsprop_centred_momentum": ("RMSprop", "momentum=0.9, centered=True"),
    "adam": ("Adam", ""),
    "amsgrad": ("Adam", "amsgrad=True"),
    "adamw": ("AdamW", ""),
    "adamax": ("Adamax", ""),
    "nadam": ("NAdam", ""),
    "radam": ("RAdam", ""),
    "adabelief": ("AdaBelief", ""),
    "yogi": ("Yogi", ""),
    "lion": ("Lion", ""),
    "adan": ("Adan", ""),
    "adopt": ("ADOPT", ""),
    "ademamix": ("AdEMAMix", ""),
    "novograd": ("NovoGrad", ""),
    "lars": ("LARS", ""),
    "lamb": ("LAMB", ""),
    "schedule_free_sgd": ("ScheduleFreeSGD", ""),
    "schedule_free_adamw": ("ScheduleFreeAdamW", ""),
    "dadapt_sgd": ("DAdaptSGD", ""),
    "dadapt_adam": ("DAdaptAdam", ""),
    "prodigy": ("Prodigy", ""),
    "sam": ("SAM", "momentum=0.9"),
    "lookahead": ("Lookahead", "base=ravine.optim.Adam"),
    "adafactor": ("Adafactor", ""),
    "muon": ("Muon", ""),
    "muon_with_adamw": ("MuonWithAdamW", ""),
    "shampoo": ("Shampoo", ""),
    "soap": ("SOAP", ""),
    "gradient_descent_armijo": ("ArmijoGradientDescent", ""),
    "newton_trust_region": ("NewtonTrustRegion", ""),
    "levenberg_marquardt": ("LevenbergMarquardt", ""),
    "lbfgs": ("LBFGS", ""),
}
# What a class is given where that is not all of a model's parameters.
PARAMETERS = {
    "muon": "[p for p in model.parameters() if p.ndim == 2]",
    "muon_with_adamw": "model.named_parameters()",  # it finds the output layer by its name
}


def argument(rule: Rule, name: str) -> str:
    """Return how the class calls a setting of a rule."""
    return rule.aliases.get(name, name)


FAMILIES: dict[str, tuple[str, ...]] = {
    "Gradient descent": ("sgd", "momentum", "nesterov", "asgd", "signsgd", "rprop"),
    "Adaptive rates": (
        *("adagrad", "adadelta", "rmsprop", "rmsprop_centred", "rmsprop_momentum"),
        *("rmsprop_centred_momentum", "adam", "amsgrad", "adamw", "adamax", "nadam", "radam"),
        *("adabelief", "yogi", "lion", "adan", "adopt", "ademamix"),
    ),
    "Layer by layer": ("novograd", "lars", "lamb"),
    "Without a schedule": ("schedule_free_sgd", "schedule_free_adamw"),
    "Without a learning rate": ("dadapt_sgd", "dadapt_adam", "prodigy"),
    "Around another rule": ("sam", "lookahead"),
    "With matrices": ("adafactor", "muon", "muon_with_adamw", "shampoo", "soap"),
    "Run singly, for few weights": (
        *("gradient_descent_armijo", "newton_trust_region", "levenberg_marquardt", "lbfgs"),
    ),
}
