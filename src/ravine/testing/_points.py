"""Points on which courses, papers and libraries disagree under one name, whatever the rule."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One point of disagreement.

    Args:
        what: The point.
        variants: What is found.
        ours: What Ravine does.
        test: Function in ``tests/testing/test_points.py`` that backs it.
    """

    what: str
    variants: str
    ours: str
    test: str


POINTS = (
    Point(
        "batch gradient",
        "mean / sum over the samples",
        "the mean everywhere; a sum is the same as a rate larger by the batch size",
        "test_a_batch_counts_by_its_mean",
    ),
    Point(
        "velocity",
        "learning rate inside (lecture) / outside (torch)",
        "both are conventions of momentum and nesterov; they differ once the rate changes",
        "test_velocities_differ_once_the_rate_changes",
    ),
    Point(
        "sign of the velocity",
        "subtracted (lecture) / points downhill and is added (textbook)",
        "both; the weights are the same",
        "test_the_sign_of_the_velocity_changes_no_weight",
    ),
    Point(
        "symbols",
        "learning rate eta, alpha, rho; momentum gamma, alpha, mu; torch's alpha is RMSProp's"
        " decay, its rho Adadelta's",
        "a rule takes its formula's name and its library's",
        "test_symbols_are_aliases",
    ),
    Point(
        "shares kept",
        "Adam's beta2 0.9 in some course code, 0.999 in the paper; RMSProp 0.9 (lecture), 0.99"
        " (torch)",
        "the paper's and torch's; 0.9 for rmsprop@lecture",
        "test_defaults_of_the_shares_kept",
    ),
    Point(
        "eps",
        "outside the root (lecture, torch) / inside it (optax's RMSProp and AdaGrad)",
        "as the convention says",
        "test_eps_inside_the_root_is_another_formula",
    ),
    Point(
        "size of eps",
        "1e-8; AdaGrad 1e-10 in torch, 1e-7 in optax, whose sum starts at 0.1",
        "as the convention says",
        "test_sizes_of_eps",
    ),
    Point(
        "L2",
        "lambda w^2 / half of it",
        "weight_decay adds lambda w to the gradient: half",
        "test_weight_decay_is_the_gradient_of_half_the_square",
    ),
    Point(
        "what L2 covers",
        "biases in / out",
        "in: every weight of a group; biases stay out in a group with weight_decay=0",
        "test_biases_decay_unless_in_a_group_that_does_not",
    ),
    Point(
        "decay before or after the step",
        "w (1 - eta lambda) first (torch) / taken off together with the step (optax)",
        "first; the two are the same as long as the step does not read the weights",
        "test_decay_before_or_with_the_step_is_the_same",
    ),
    Point(
        "first step",
        "velocity or mean starts at the gradient / at 0",
        "as the convention says; torch's first step is not dampened",
        "test_the_first_gradient_of_torch_is_not_dampened",
    ),
    Point(
        "bias of the first steps",
        "running means divided by 1 - beta^t (Adam's paper) / used as they are (some course code,"
        " Yogi's paper, D-Adaptation, Prodigy)",
        "as the convention says; without it Adam's first step is 3.16 times the learning rate",
        "test_the_first_step_with_and_without_correction",
    ),
    Point(
        "AMSGrad",
        "the maximum is taken before bias correction (torch) / after it (optax)",
        "both; they are the same where nothing is to be corrected",
        "test_amsgrad_before_or_after_correction",
    ),
    Point(
        "NAdam",
        "momentum follows a schedule, momentum_decay (torch, the paper) / is constant (optax)",
        "both; torch's with a momentum_decay without bound is optax's",
        "test_nadam_with_and_without_its_schedule",
    ),
    Point(
        "Muon's scale",
        "max(1, rows / columns)^0.5 or 0.2 max(rows, columns)^0.5 (torch) / max(1, columns /"
        " rows)^0.5 (optax, whose matrices are inputs x outputs)",
        "torch's two, by adjust_lr_fn",
        "test_scales_of_muon",
    ),
    Point(
        "centred RMSProp",
        "mean square minus squared mean may round below 0 (torch, optax) / is kept at 0 or more",
        "as torch: a gradient that stays the same ends in NaN; eps does not help, it is outside"
        " the root",
        "test_centred_rmsprop_rounds_below_zero",
    ),
    Point(
        '"SGD"',
        "one sample / mini-batch",
        "the rule is the same; the batch is the problem's",
        "test_sgd_is_the_same_rule_for_any_batch",
    ),
    Point(
        "batches",
        "reshuffled epochs / sampled with replacement",
        "epochs, reshuffled: every row once per epoch, but for what fills no whole batch",
        "test_an_epoch_has_every_row_once",
    ),
    Point(
        "step index",
        "from 1 / torch's schedulers from 0",
        "t is 1 at a rule's first step; a schedule's first step is 0",
        "test_steps_of_rules_count_from_one",
    ),
)

# timm does not import beside the CPU build of torch that the tests use.
BY_READING = (
    (
        "rmsprop",
        "RMSpropTF",
        "eps inside the root, the mean square starts at 1, and the learning rate is inside the"
        " velocity unless lr_in_momentum=False; alpha 0.9 and eps 1e-10 unless told",
    ),
    (
        "lamb",
        "Lamb",
        "the gradient is clipped to a global norm of 1 unless max_grad_norm=None; layers without"
        " decay take Adam's step unless always_adapt=True",
    ),
    (
        "lars",
        "Lars",
        "the learning rate is outside the velocity, which starts at the first gradient; layers"
        " without decay are not scaled unless always_adapt=True; eps in the trust ratio",
    ),
)
