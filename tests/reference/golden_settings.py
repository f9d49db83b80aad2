"""Which trajectories are stored: rule, convention, hyper-parameters, source of the formula."""

from typing import Any, NamedTuple


class Setting(NamedTuple):
    """One stored trajectory."""

    rule: str
    convention: str
    hypers: dict[str, Any]
    source: str


ADAM = {"lr": 0.05, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}
RMS = {"lr": 0.03, "beta": 0.85, "eps": 1e-3}
RPROP = {"lr": 0.04, "eta_minus": 0.4, "eta_plus": 1.6, "step_min": 0.03, "step_max": 0.1}
FREE = {"weight_decay": 0.02, "warmup_steps": 4, "r": 0.5, "weight_lr_power": 2.0}
LARS = {"lr": 0.5, "mu": 0.7, "trust_coefficient": 0.05, "weight_decay": 0.02}
NOVOGRAD = {"lr": 0.05, "beta1": 0.8, "beta2": 0.6, "eps": 1e-3, "weight_decay": 0.02}
RATE_FREE = {"lr": 0.9, "d0": 0.05, "growth_rate": 1.6}
MUON = {
    "lr": 0.05, "mu": 0.8, "weight_decay": 0.1, "ns_steps": 5, "eps": 1e-7,
    "ns_coefficients": [3.4445, -4.775, 2.0315],
}  # fmt: skip

TORCH = "torch.optim 2.13"
POLYAK = "Polyak 1964, doi:10.1016/0041-5553(64)90137-5"
GRAVES = "Graves 2013, arXiv:1308.0850, as torch.optim 2.13"
OPTAX = "optax 0.2.8"
DOZAT = "Dozat 2016, Algorithm 2"
RADAM = "Liu et al. 2020, arXiv:1908.03265, Algorithm 2"
REDDI = "Reddi, Kale & Kumar 2018, arXiv:1904.09237, Algorithm 2"
LARS_PAPER = "You, Gitman & Ginsburg 2017, arXiv:1708.03888, Algorithm 1"
SCHEDULE_FREE = "Defazio et al. 2024, arXiv:2405.15682, and schedulefree 1.4"
D_ADAPTATION = "Defazio & Mishchenko 2023, arXiv:2301.07733, as dadaptation 3.2"
NOVOGRAD_PAPER = "Ginsburg et al. 2019, arXiv:1905.11286, Algorithm 1"
SHAMPOO = "Gupta, Koren & Singer 2018, arXiv:1802.09568, Algorithms 1 and 2"
WRIGHT = "Nocedal & Wright 2006, Numerical Optimization"
NIELSEN = "Madsen, Nielsen & Tingleff 2004, Algorithm 3.16"

STEPS = [
    Setting("sgd", "torch", {"lr": 0.2}, TORCH),
    Setting("sgd", "lecture", {"lr": 0.2}, "Robbins & Monro 1951"),
    Setting("momentum", "torch", {"lr": 0.1, "mu": 0.8, "dampening": 0.3}, TORCH),
    Setting("momentum", "lecture", {"lr": 0.1, "gamma": 0.8, "initial_velocity": 0.02}, POLYAK),
    Setting("momentum", "textbook", {"lr": 0.1, "alpha": 0.8, "initial_velocity": 0.02}, POLYAK),
    Setting("nesterov", "torch", {"lr": 0.1, "mu": 0.8, "dampening": 0.0}, TORCH),
    Setting("nesterov", "lecture", {"lr": 0.1, "gamma": 0.8}, "Sutskever et al. 2013"),
    Setting("asgd", "torch", {"lr": 0.2, "lambd": 0.05, "alpha": 0.6, "t0": 3.0}, TORCH),
    Setting("signsgd", "paper", {"lr": 0.05}, "Bernstein et al. 2018, arXiv:1802.04434"),
    Setting("signsgd", "signum", {"lr": 0.05, "beta": 0.7}, "arXiv:1802.04434, Algorithm 2"),
    Setting("rprop", "torch", RPROP, TORCH),
    Setting("rprop", "paper", RPROP, "Riedmiller & Braun 1993"),
    Setting(
        "adagrad",
        "torch",
        {"lr": 0.2, "lr_decay": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.3},
        TORCH,
    ),
    Setting("adagrad", "lecture", {"lr": 0.2, "eps": 1e-3}, "Duchi, Hazan & Singer 2011"),
    Setting("adagrad", "optax", {"lr": 0.2, "eps": 1e-3, "initial_accumulator_value": 0.3}, OPTAX),
    Setting("adadelta", "torch", {"lr": 0.8, "rho": 0.85, "eps": 1e-2}, TORCH),
    Setting("adadelta", "lecture", {"lr": 0.8, "rho": 0.85, "eps": 1e-2}, "arXiv:1212.5701"),
    Setting("rmsprop", "torch", RMS, TORCH),
    Setting("rmsprop", "lecture", RMS, "Tieleman & Hinton 2012, lecture 6.5"),
    Setting("rmsprop", "optax", RMS, OPTAX),
    Setting("rmsprop_centred", "torch", RMS, GRAVES),
    Setting("rmsprop_momentum", "torch", {**RMS, "mu": 0.6}, GRAVES),
    Setting("rmsprop_centred_momentum", "torch", {**RMS, "mu": 0.6}, GRAVES),
    Setting("adam", "torch", ADAM, TORCH),
    Setting("adam", "lecture", ADAM, "Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1"),
    Setting("adam", "tensorflow", ADAM, "Kingma & Ba 2015, end of section 2"),
    Setting("adam", "optax", {**ADAM, "eps_root": 1e-3}, OPTAX),
    Setting("amsgrad", "torch", ADAM, TORCH),
    Setting("amsgrad", "paper", ADAM, REDDI),
    Setting("amsgrad", "optax", ADAM, OPTAX),
    Setting("adamw", "torch", {**ADAM, "weight_decay": 0.2}, TORCH),
    Setting("adamw", "lecture", {**ADAM, "weight_decay": 0.2}, "arXiv:1711.05101, Algorithm 2"),
    Setting("adamax", "torch", ADAM, TORCH),
    Setting("nadam", "torch", {**ADAM, "momentum_decay": 0.05}, TORCH),
    Setting("nadam", "paper", {**ADAM, "momentum_decay": 0.05}, DOZAT),
    Setting("nadam", "optax", ADAM, OPTAX),
    Setting("radam", "torch", ADAM, TORCH),
    Setting("radam", "paper", {**ADAM, "threshold": 4.0}, RADAM),
    Setting("radam", "optax", {**ADAM, "threshold": 5.0}, OPTAX),
    Setting("adabelief", "paper", ADAM, "Zhuang et al. 2020, arXiv:2010.07468, Algorithm 2"),
    Setting(
        "yogi",
        "paper",
        {**ADAM, "initial_accumulator_value": 0.02},
        "Zaheer et al. 2018, NeurIPS 31, Algorithm 2",
    ),
    Setting("yogi", "optax", {**ADAM, "initial_accumulator_value": 0.02}, OPTAX),
    Setting(
        "lion",
        "paper",
        {"lr": 0.04, "beta1": 0.7, "beta2": 0.9, "weight_decay": 0.2},
        "Chen et al. 2023, arXiv:2302.06675, Algorithm 2",
    ),
    Setting(
        "adan",
        "paper",
        {"lr": 0.05, "beta1": 0.9, "beta2": 0.7, "beta3": 0.95, "eps": 1e-3, "weight_decay": 0.2},
        "Xie et al. 2022, arXiv:2208.06677, Algorithm 1, as the authors' code",
    ),
    Setting(
        "adopt",
        "paper",
        {**ADAM, "eps": 0.3},
        "Taniguchi et al. 2024, arXiv:2411.02853, Algorithm 2",
    ),
    Setting(
        "ademamix",
        "paper",
        {**ADAM, "beta3": 0.98, "alpha": 4.0, "warmup": 6.0},
        "Pagliardini, Ablin & Grangier 2024, arXiv:2409.03137, Algorithm 1",
    ),
    Setting("novograd", "paper", NOVOGRAD, NOVOGRAD_PAPER),
    Setting("novograd", "nvidia", NOVOGRAD, "apex, FusedNovoGrad"),
    Setting("novograd", "optax", NOVOGRAD, OPTAX),
    Setting("lars", "paper", LARS, LARS_PAPER),
    Setting("lars", "nesterov", LARS, LARS_PAPER),
    Setting("lars", "optax", LARS, OPTAX),
    Setting(
        "lamb",
        "paper",
        {**ADAM, "weight_decay": 0.2},
        "You et al. 2020, arXiv:1904.00962, Algorithm 2",
    ),
    Setting("schedule_free_sgd", "paper", {"lr": 0.2, "beta": 0.8, **FREE}, SCHEDULE_FREE),
    Setting("schedule_free_adamw", "paper", {**ADAM, **FREE}, SCHEDULE_FREE),
    Setting("dadapt_sgd", "paper", {**RATE_FREE, "mu": 0.6, "weight_decay": 0.02}, D_ADAPTATION),
    Setting("dadapt_adam", "paper", {**ADAM, **RATE_FREE}, D_ADAPTATION),
    Setting(
        "prodigy",
        "paper",
        {**ADAM, **RATE_FREE, "beta3": 0.9, "d_coef": 0.8, "weight_decay": 0.2},
        "Mishchenko & Defazio 2024, arXiv:2306.06101, as prodigyopt 1.1",
    ),
    Setting(
        "sam",
        "paper",
        {"lr": 0.1, "mu": 0.7, "dampening": 0.2, "rho": 0.3},
        "Foret et al. 2021, arXiv:2010.01412, Algorithm 1, around torch's momentum",
    ),
    Setting(
        "lookahead",
        "paper",
        {**ADAM, "alpha": 0.6, "sync": 4.0},
        "Zhang et al. 2019, arXiv:1907.08610, Algorithm 1, around Adam",
    ),
    Setting(
        "adafactor",
        "torch",
        {"lr": 0.3, "beta2_decay": -0.6, "eps1": 1e-8, "eps2": 0.6, "d": 1.0, "weight_decay": 0.1},
        TORCH,
    ),
    Setting("muon", "torch", {**MUON, "nesterov": True, "adjust_lr_fn": "original"}, TORCH),
    Setting("muon", "torch", {**MUON, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}, TORCH),
    Setting(
        "muon_with_adamw",
        "paper",
        {
            **MUON,
            "nesterov": True,
            "adjust_lr_fn": "original",
            "adamw_lr": 0.03,
            "adamw_beta1": 0.8,
            "adamw_beta2": 0.95,
            "adamw_eps": 1e-3,
            "adamw_weight_decay": 0.2,
        },
        "torch.optim 2.13: Muon for the matrix, AdamW for the vector",
    ),
    Setting("shampoo", "paper", {"lr": 0.2, "eps": 1e-2}, SHAMPOO),
    Setting(
        "soap",
        "paper",
        {**ADAM, "shampoo_beta": 0.9, "weight_decay": 0.1, "precondition_frequency": 3},
        "Vyas et al. 2024, arXiv:2409.11321, as the authors' code",
    ),
]

CLOSURE_SETTINGS = [
    Setting(
        "gradient_descent_armijo",
        "paper",
        {"lr": 2.0, "c1": 0.1, "shrink": 0.6, "expand": 1.5},
        f"{WRIGHT}, Algorithm 3.1",
    ),
    Setting(
        "newton_trust_region",
        "paper",
        {"radius": 0.4, "max_radius": 0.6, "eta": 0.2},
        f"{WRIGHT}, Algorithm 4.1, exact minimiser in the ball",
    ),
    Setting(
        "newton_trust_region",
        "paper",
        {"radius": 60.0, "max_radius": 100.0, "eta": 0.1},
        f"{WRIGHT}, Algorithm 4.1, exact minimiser in the ball",
    ),
    Setting("levenberg_marquardt", "paper", {"tau": 0.3}, NIELSEN),
    Setting("levenberg_marquardt", "paper", {"tau": 1e-6}, NIELSEN),
    Setting(
        "lbfgs",
        "torch",
        {"lr": 0.7, "max_iter": 2, "history_size": 3, "line_search_fn": "strong_wolfe"},
        TORCH,
    ),
    Setting(
        "lbfgs",
        "torch",
        {"lr": 0.2, "max_iter": 2, "history_size": 3, "line_search_fn": None},
        TORCH,
    ),
]
