"""The verdict in one sentence: what was shown, for which problem, budget and schedule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ravine.studies.statistics import Direction, Pair, Verdict, sign_of

Seen = dict[tuple[str, str], Pair]


@dataclass(frozen=True)
class Scope:
    """What a verdict holds for.

    Attributes:
        model: Name of the model.
        data: Name of the data.
        epochs: Epochs of each training.
        steps: Updates of each training.
        batch: Samples per update, or ``"full"``.
        schedule: Name of the learning-rate schedule.
        seeds: Seeds behind every score.
        confirmed: Whether they are fresh, so that no setting was chosen on them.
        score: Name of the test score; one with "accuracy" in it is a share, written in percent.
        direction: ``"max"`` where a higher score is better, ``"min"`` where a lower one is.
        smallest_difference: Smallest difference that matters; None if none was set.
        confidence: Confidence of the intervals.
    """

    model: str
    data: str
    epochs: int
    steps: int
    batch: int | Literal["full"]
    schedule: str
    seeds: int
    confirmed: bool
    score: str
    direction: Direction
    smallest_difference: float | None
    confidence: float = 0.95


class Ranked(NamedTuple):
    """One optimizer of the ranking; score and interval are NaN where there is none."""

    optimizer: str
    lr: float
    score: float
    low: float
    high: float
    failures: int


def verdict_sentence(ranking: Sequence[Ranked], pairs: Sequence[Pair], scope: Scope) -> str:
    """Say in one sentence what a study has shown, and for what.

    The sentence begins with the `leader`. It is *best* only if it is shown better
    than every other that finished; otherwise those to which no difference is shown, and those
    practically equal, are named beside it. A pair that was not compared counts as undecided.

    Args:
        ranking: The optimizers, best mean score first.
        pairs: Their comparisons, in any order.
        scope: What the scores were measured on.

    Returns:
        One sentence in English.

    >>> rows = [Ranked("adam", 0.003, 0.97, 0.96, 0.98, 0), Ranked("sgd", 0.1, 0.9, 0.89, 0.91, 0)]
    >>> pair = Pair("adam", "sgd", 0.07, 0.06, 0.08, 1e-9, 1e-9, "better", None)
    >>> scope = Scope("mlp", "digits", 30, 510, 64, "cosine", 20, True, "accuracy", "max", 0.005)
    >>> print(verdict_sentence(rows, [pair], scope))
    For mlp on digits, 30 epochs (510 steps) at batch 64 with the cosine schedule, on 20 fresh
    seeds: adam (lr 0.003) is best with 97.00 % test accuracy (95 % interval 96.00 to 98.00 %),
    better than sgd, 7.00 points behind (6.00 to 8.00).
    """
    return f"For {_scope(scope)}: {'; '.join(_clauses(ranking, pairs, scope))}."


def leader(ranking: Sequence[Ranked], pairs: Sequence[Pair]) -> Ranked | None:
    """Return the winner of a study: the one that the sentence begins with.

    The first of the ranking to which no other is shown to be better, or else the fewest (a high
    mean over few survivors of many failures does not lead); None where every training failed.

    >>> rows = [Ranked("a", 0.1, 0.9, 0.8, 1.0, 1), Ranked("b", 0.1, 0.8, 0.7, 0.9, 1)]
    >>> leader(rows, [Pair("a", "b", -0.1, -0.2, -0.01, 0.01, 0.01, "worse", None)]).optimizer
    'b'
    """
    finished = _finished(ranking)
    return _leader(finished, _from_both_sides(pairs)) if finished else None


def _finished(ranking: Sequence[Ranked]) -> list[Ranked]:
    return [row for row in ranking if math.isfinite(row.score)]


def format_score(value: float, score: str) -> str:
    """Write a score: an accuracy in percent, all else as a number.

    >>> format_score(0.97345, "accuracy"), format_score(87.39712, "loss")
    ('97.34 %', '87.397')
    """
    return f"{100 * value:.2f} %" if _is_share(score) else f"{value:.5g}"


def format_difference(value: float, score: str) -> str:
    """Write a difference of two scores: of accuracies in percentage points.

    >>> format_difference(0.005, "accuracy"), format_difference(0.02, "loss")
    ('0.50 points', '0.02')
    """
    return f"{100 * value:.2f} points" if _is_share(score) else f"{value:.3g}"


def _is_share(score: str) -> bool:
    return "accuracy" in score.lower()


def _scope(scope: Scope) -> str:
    batch = "full batch" if scope.batch == "full" else f"batch {scope.batch}"
    budget = f"{_count(scope.epochs, 'epoch')} ({_count(scope.steps, 'step')}) at {batch}"
    where = f"{scope.model} on {scope.data}, {budget} with the {scope.schedule} schedule"
    if scope.confirmed:
        return f"{where}, on {_count(scope.seeds, 'fresh seed')}"
    return f"{where}, on {_count(scope.seeds, 'tuning seed')} and not confirmed on fresh ones"


def _clauses(ranking: Sequence[Ranked], pairs: Sequence[Pair], scope: Scope) -> list[str]:
    finished = _finished(ranking)
    if not finished:
        names = _list([row.optimizer for row in ranking], "and")
        return [f"every training of {names} failed, so nothing can be compared"]
    seen = _from_both_sides(pairs)
    first = _leader(finished, seen)
    others = [row for row in finished if row is not first]
    if not others:
        clauses = _alone(first, len(ranking), scope)
    elif all(_verdict(first, row, seen) == "better" for row in others):
        clauses = [_winner(first, others, seen, scope)]
    else:
        clauses = _group(first, others, seen, scope)
    return [*clauses, *_failures(ranking, scope)]


# A sentence names each optimizer up to this many; the ranking and the pairs name all.
MOST_NAMES = 8
_TURNED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


def _from_both_sides(pairs: Sequence[Pair]) -> Seen:
    """Return every pair under both orders of its names, each as seen from the first."""
    seen = {(pair.a, pair.b): pair for pair in pairs}
    for pair in pairs:
        seen[pair.b, pair.a] = replace(
            pair,
            a=pair.b,
            b=pair.a,
            difference=-pair.difference,
            low=-pair.high,
            high=-pair.low,
            verdict=_TURNED.get(pair.verdict, pair.verdict),
            failures_a=pair.failures_b,
            failures_b=pair.failures_a,
        )
    return seen


def _verdict(row: Ranked, other: Ranked, seen: Seen) -> Verdict:
    pair = seen.get((row.optimizer, other.optimizer))
    return pair.verdict if pair else "undecided"


def _leader(finished: Sequence[Ranked], seen: Seen) -> Ranked:
    return min(finished, key=lambda row: sum(_verdict(row, x, seen) == "worse" for x in finished))


def _alone(leader: Ranked, optimizers: int, scope: Scope) -> list[str]:
    missing = "was compared" if optimizers == 1 else "finished a training"
    return [f"{_title(leader)} reaches {_result(leader, scope)}", f"no other optimizer {missing}"]


def _winner(leader: Ranked, others: Sequence[Ranked], seen: Seen, scope: Scope) -> str:
    next_ = others[0].optimizer
    than = (
        next_ if len(others) == 1 else f"each of the {len(others)} others, the next being {next_}"
    )
    text = f"{_title(leader)} is best with {_result(leader, scope)}, better than {than}"
    pair, sign = seen[leader.optimizer, next_], sign_of(scope.direction)
    if not sign * pair.difference > 0:  # shown by failures, not by scores
        return text
    low, high = sorted((sign * pair.low, sign * pair.high))
    by, *ends = (format_difference(x, scope.score) for x in (sign * pair.difference, low, high))
    low_end, high_end = (end.removesuffix(" points") for end in ends)
    return f"{text}, {by} behind ({low_end} to {high_end})"


def _group(leader: Ranked, others: Sequence[Ranked], seen: Seen, scope: Scope) -> list[str]:
    """Name those that share the lead, and why, then those shown worse."""
    sorts: dict[str, list[Ranked]] = {}
    for row in others:
        pair = seen.get((leader.optimizer, row.optimizer))
        sort = "torn" if pair and _torn(pair, scope) else _verdict(leader, row, seen)
        sorts.setdefault(sort, []).append(row)
    clauses = [f"{_title(leader)} leads with {_result(leader, scope)}"]
    if open_ := sorts.get("undecided"):
        names = _list(_few(_with_scores(open_, scope)), "or")
        clauses[0] += f", but no difference is shown between it and {names}"
        clauses += _seeds_to_decide(leader, open_, seen, scope)
    if torn := sorts.get("torn"):
        names = _list(_few(_with_scores(torn, scope)), "and")
        clauses.append(f"against {names} scores and failures contradict each other")
    if equal := sorts.get("equivalent"):
        margin = format_difference(scope.smallest_difference or math.nan, scope.score)
        names = _list(_few(_with_scores(equal, scope)), "and")
        clauses.append(f"practically equal to it, within {margin}: {names}")
    if worse := sorts.get("better"):
        clauses.append(f"shown worse: {_list(_few([row.optimizer for row in worse]), 'and')}")
    return clauses


def _torn(pair: Pair, scope: Scope) -> bool:
    """Whether the side that failed more often scores better, by more than a trifle."""
    if pair.verdict != "undecided" or pair.failures_a == pair.failures_b:
        return False
    better_a = sign_of(scope.direction) * pair.difference > 0
    apart = pair.low > 0 or pair.high < 0
    matters = max(abs(pair.low), abs(pair.high)) >= (scope.smallest_difference or 0)
    return apart and matters and better_a == (pair.failures_a > pair.failures_b)


def _seeds_to_decide(
    leader: Ranked, open_: Sequence[Ranked], seen: Seen, scope: Scope
) -> list[str]:
    """Say how many seeds would decide the open pairs, as far as a number can be given."""
    if scope.seeds < 2:
        return ["a single seed cannot show one"]
    pairs = [seen.get((leader.optimizer, row.optimizer)) for row in open_]
    needed = [pair.seeds_needed if pair else None for pair in pairs]
    known = [number for number in needed if number]
    if not known:
        return []
    left = [row.optimizer for row, number in zip(open_, needed, strict=True) if not number]
    what = (
        f" all but {_list(_few(left), 'and')}" if left else " this" if len(known) == 1 else " these"
    )
    return [f"about {max(known):,} seeds would decide{what}"]


def _failures(ranking: Sequence[Ranked], scope: Scope) -> list[str]:
    failed = [f"{x.optimizer} {x.failures} of {scope.seeds}" for x in ranking if x.failures]
    return [f"failed trainings: {_list(_few(failed), 'and')}"] if failed else []


def _title(row: Ranked) -> str:
    return f"{row.optimizer} (lr {row.lr:.3g})"


def _result(row: Ranked, scope: Scope) -> str:
    value = format_score(row.score, scope.score)
    name = scope.score if scope.score.startswith("test") else f"test {scope.score}"
    text = f"{value} {name}" if _is_share(scope.score) else f"{name} {value}"
    if not math.isfinite(row.low):
        return text
    low, high = (format_score(end, scope.score) for end in (row.low, row.high))
    return f"{text} ({100 * scope.confidence:g} % interval {low.removesuffix(' %')} to {high})"


def _with_scores(rows: Sequence[Ranked], scope: Scope) -> list[str]:
    return [f"{row.optimizer} ({format_score(row.score, scope.score)})" for row in rows]


def _few(names: Sequence[str]) -> list[str]:
    """Return so many names as a sentence can hold, and the number of the others."""
    if len(names) <= MOST_NAMES:
        return list(names)
    return [*names[: MOST_NAMES - 3], f"{len(names) - MOST_NAMES + 3} others"]


def _list(names: Sequence[str], word: str) -> str:
    """Join names in English.

    >>> _list(["a", "b", "c"], "or")
    'a, b or c'
    """
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
