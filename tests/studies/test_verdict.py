"""The sentence, case by case: it says what was shown, and no more."""

from dataclasses import replace
from itertools import combinations
from math import nan

import numpy as np
import pytest

from ravine.core.seeding import rng
from ravine.studies.statistics import Pair, compare_pairs, mean_interval
from ravine.studies.verdict import Ranked, Scope, verdict_sentence

SCOPE = Scope("mlp", "digits", 30, 1510, 64, "cosine", 20, True, "accuracy", "max", 0.005)
HEAD = (
    "For mlp on digits, 30 epochs (1,510 steps) at batch 64 with the cosine schedule, "
    "on 20 fresh seeds: "
)


def row(name: str, score: float, failures: int = 0) -> Ranked:
    return Ranked(name, 0.00316, score, score - 0.01, score + 0.01, failures)


def pair(a: str, b: str, verdict: str, difference: float = nan, needed: int | None = None) -> Pair:
    ends = (difference - 0.003, difference + 0.003)
    return Pair(a, b, difference, *ends, 0.01, 0.02, verdict, needed)


ADAM, SGD, LION = row("adam", 0.97), row("sgd", 0.96), row("lion", 0.95)
ADAM_LEADS = "adam (lr 0.00316) leads with 97.00 % test accuracy (95 % interval 96.00 to 98.00 %)"


def test_a_clear_winner():
    pairs = [
        pair("sgd", "adam", "worse", -0.01),
        pair("adam", "lion", "better", 0.02),
        pair("sgd", "lion", "undecided", 0.01, 33),
    ]
    assert verdict_sentence([ADAM, SGD, LION], pairs, SCOPE) == (
        f"{HEAD}adam (lr 0.00316) is best with 97.00 % test accuracy (95 % interval 96.00 to "
        "98.00 %), better than each of the 2 others, the next being sgd, 1.00 points behind "
        "(0.70 to 1.30)."
    )


def test_a_loss_is_written_as_a_number_and_the_lower_one_wins():
    scope = replace(SCOPE, score="loss", direction="min", batch="full", smallest_difference=None)
    rows = [
        Ranked("adam", 0.04, 87.1124, 87.1, 87.13, 0),
        Ranked("sgd", 0.016, 87.4, 87.2, 87.6, 0),
    ]
    pairs = [Pair("adam", "sgd", -0.2876, -0.4, -0.175, 1e-4, 1e-4, "better", None)]
    assert verdict_sentence(rows, pairs, scope) == (
        "For mlp on digits, 30 epochs (1,510 steps) at full batch with the cosine schedule, "
        "on 20 fresh seeds: adam (lr 0.04) is best with test loss 87.112 (95 % interval 87.1 to "
        "87.13), better than sgd, 0.288 behind (0.175 to 0.4)."
    )


def test_a_lead_that_is_not_shown_names_the_seeds_that_would_decide():
    pairs = [
        pair("adam", "sgd", "undecided", 0.01, 1055),
        pair("adam", "lion", "undecided", 0.02, 31),
        pair("sgd", "lion", "undecided", 0.01, 40),
    ]
    assert verdict_sentence([ADAM, SGD, LION], pairs, SCOPE) == (
        f"{HEAD}{ADAM_LEADS}, but no difference is shown between it and sgd (96.00 %) or lion "
        "(95.00 %); about 1,055 seeds would decide these."
    )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (55, None, "; about 55 seeds would decide all but lion."),
        (None, None, " or lion (95.00 %)."),
    ],
)
def test_only_numbers_that_are_known_are_named(first, second, said):
    pairs = [pair("adam", "sgd", "undecided", 0.01, first)]
    pairs += [pair("adam", "lion", "undecided", 0.02, second)]
    assert verdict_sentence([ADAM, SGD, LION], pairs, SCOPE).endswith(said)


def test_equivalence_names_the_margin():
    pairs = [pair("adam", "sgd", "equivalent", 0.001), pair("adam", "lion", "better", 0.02)]
    assert verdict_sentence([ADAM, SGD, LION], pairs, SCOPE) == (
        f"{HEAD}{ADAM_LEADS}; practically equal to it, within 0.50 points: sgd (96.00 %); "
        "shown worse: lion."
    )


def test_open_equal_and_worse_side_by_side():
    rows = [ADAM, SGD, LION, row("rprop", 0.9)]
    pairs = [
        pair("adam", "sgd", "equivalent", 0.001),
        pair("adam", "lion", "undecided", 0.02, 50),
        pair("adam", "rprop", "better", 0.07),
    ]
    assert verdict_sentence(rows, pairs, SCOPE) == (
        f"{HEAD}{ADAM_LEADS}, but no difference is shown between it and lion (95.00 %); about 50 "
        "seeds would decide this; practically equal to it, within 0.50 points: sgd (96.00 %); "
        "shown worse: rprop."
    )


def test_one_open_pair_is_enough_not_to_be_called_best():
    pairs = [pair("adam", "sgd", "better", 0.01), pair("adam", "lion", "undecided", 0.02, 50)]
    assert verdict_sentence([ADAM, SGD, LION], pairs, SCOPE) == (
        f"{HEAD}{ADAM_LEADS}, but no difference is shown between it and lion (95.00 %); about 50 "
        "seeds would decide this; shown worse: sgd."
    )


def test_one_optimizer_is_not_called_best():
    sentence = verdict_sentence([ADAM], [], SCOPE)
    assert sentence == HEAD + ADAM_LEADS.replace("leads with", "reaches") + (
        "; no other optimizer was compared."
    )
    lost = row("sgd", nan, 20)
    assert verdict_sentence([ADAM, lost], [pair("adam", "sgd", "better")], SCOPE).endswith(
        "; no other optimizer finished a training; failed trainings: sgd 20 of 20."
    )


def test_without_a_confirm_phase_it_says_so():
    scope = replace(SCOPE, confirmed=False, seeds=1, epochs=1, schedule="constant")
    rows = [Ranked("adam", 0.1, 0.97, nan, nan, 0), Ranked("sgd", 0.1, 0.96, nan, nan, 0)]
    assert verdict_sentence(rows, [], scope) == (
        "For mlp on digits, 1 epoch (1,510 steps) at batch 64 with the constant schedule, on 1 "
        "tuning seed and not confirmed on fresh ones: adam (lr 0.1) leads with 97.00 % test "
        "accuracy, but no difference is shown between it and sgd (96.00 %); a single seed cannot "
        "show one."
    )


def test_where_all_failed_nothing_is_compared():
    assert verdict_sentence([row("adam", nan, 20), row("sgd", nan, 20)], [], SCOPE) == (
        f"{HEAD}every training of adam and sgd failed, so nothing can be compared."
    )


def test_the_leader_is_not_shown_worse_than_another():
    """The best mean, over 8 survivors of 20, does not lead."""
    rows = [row("lion", 0.98, 12), ADAM, SGD]
    pairs = [
        pair("lion", "adam", "worse", 0.01),
        pair("lion", "sgd", "worse", 0.02),
        pair("adam", "sgd", "better", 0.01),
    ]
    sentence = verdict_sentence(rows, pairs, SCOPE)
    assert "adam (lr 0.00316) is best" in sentence and "behind" not in sentence
    assert sentence.endswith("; failed trainings: lion 12 of 20.")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("lost", "gap", "torn"),
    [
        ((0, 2), -0.07, True),
        ((2, 0), -0.07, False),
        ((2, 2), -0.07, False),
        ((0, 2), -0.001, False),
    ],
)
def test_higher_scores_with_more_failures_are_not_no_difference(lost, gap, torn, turned):
    """sgd, which failed less often, leads the ranking; adam scores 7 points more."""
    rows = [row("sgd", 0.9, lost[0]), row("adam", 0.9 - gap, lost[1])]
    ends = (gap - 0.0005, gap + 0.0005)
    pairs = [Pair("sgd", "adam", gap, *ends, 0.01, 0.02, "undecided", None, *lost)]
    if turned:
        ends = (-ends[1], -ends[0])
        pairs = [Pair("adam", "sgd", -gap, *ends, 0.01, 0.02, "undecided", None, *lost[::-1])]
    sentence = verdict_sentence(rows, pairs, SCOPE)
    assert sentence.startswith(f"{HEAD}sgd (lr 0.00316) leads with 90.00 % test accuracy")
    said = "; against adam (97.00 %) scores and failures contradict each other; failed trainings"
    assert (said in sentence) == torn
    assert ("no difference is shown" in sentence) != torn


def test_best_is_said_exactly_where_every_pair_with_the_leader_is_better():
    """On simulated studies, from scores to sentence."""
    r = rng(5, "sentences")
    said = []
    for _ in range(60):
        means = 0.9 + 0.02 * r.random(4)
        scores = dict(zip("abcd", means[:, None] + r.normal(0, 0.01, (4, 20)), strict=True))
        rows = [Ranked(name, 0.1, *mean_interval(values)) for name, values in scores.items()]
        rows.sort(key=lambda x: -x.score)
        pairs = compare_pairs(scores, "max", 0.005)
        shown = [p for p in pairs if (p.verdict, p.a) == ("better", rows[0].optimizer)]
        shown += [p for p in pairs if (p.verdict, p.b) == ("worse", rows[0].optimizer)]
        sentence = verdict_sentence(rows, pairs, SCOPE)
        assert (" is best " in sentence) == (len(shown) == 3)
        assert all(x.optimizer in sentence or len(shown) == 3 for x in rows)
        said.append(len(shown))
    assert 0 < np.mean(np.array(said) == 3) < 1


def test_pairs_may_come_in_any_order_and_orientation():
    scores = {name: rng(5, name).normal(0.9, 0.01, 20) for name in "abc"}
    rows = sorted(
        (Ranked(name, 0.1, *mean_interval(values)) for name, values in scores.items()),
        key=lambda x: -x.score,
    )
    sentences = {
        verdict_sentence(rows, [p for a, b in order for p in compare_two(scores, a, b)], SCOPE)
        for order in (combinations("abc", 2), combinations("cba", 2))
    }
    assert len(sentences) == 1


def compare_two(scores: dict[str, np.ndarray], a: str, b: str) -> list[Pair]:
    return compare_pairs({a: scores[a], b: scores[b]}, "max", 0.005)
