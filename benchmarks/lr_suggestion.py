"""Suggestions of the learning-rate test against tuned rates, on the built-in problems.

The tuned rate is the best of a grid, four rates per decade, trained in full with the problem's own
schedule. What counts is the last column: full trainings at the suggested rate against those at the
tuned one, on fresh seeds. Misses are printed like hits.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ravine.population import Member, Outcome, Population
from ravine.problems import Problem, named_problem, problem_names
from ravine.studies.contestants import DEFAULT_OPTIMIZERS, Contestant, contestants
from ravine.studies.learning_rate import RateOrder, run_rate_test

GRID = tuple(float(f"{r:.6g}") for r in np.geomspace(1e-4, 10, 21))
TUNE_SEEDS, FRESH_SEEDS = range(3), range(20_000, 20_010)


@dataclass(frozen=True)
class Comparison:
    """One optimizer on one problem; `lost` is the score given away, > 0 where tuned is better."""

    problem: str
    optimizer: str
    suggested: float
    low: float
    high: float
    ramp: float
    tuned: float
    holds: bool
    lost: float
    lost_error: float
    tuned_score: float


def trained(problem: Problem, settings: Sequence[tuple[Contestant, float, int]]) -> list[Outcome]:
    """Train in full and return the outcomes in the order given."""
    members = [
        Member(i, one.name, one.rule, {**one.hypers, "lr": lr}, seed)
        for i, (one, lr, seed) in enumerate(settings)
    ]
    population = Population(problem, largest=len(members))
    found = [o for p in population.run(members, test=True) for o in p.finished]
    return sorted(found, key=lambda o: o.member.id)


def worth(problem: Problem, outcome: Outcome, part: str) -> float:
    """Return the score, higher is better; minus infinity for a failure."""
    score = outcome.test_score if part == "test" else outcome.val_score
    sign = 1 if problem.direction == "max" else -1
    return sign * score if outcome.status == "ok" and math.isfinite(score) else -math.inf


def tuned_rates(problem: Problem, competing: Sequence[Contestant]) -> dict[str, float]:
    """Return the best rate of the grid by optimizer."""
    part = "validation" if len(problem.evaluation_rows(0, "validation")) else "test"
    settings = [(one, lr, seed) for one in competing for lr in GRID for seed in TUNE_SEEDS]
    means: dict[str, dict[float, float]] = {one.name: dict.fromkeys(GRID, 0.0) for one in competing}
    for (one, lr, _), outcome in zip(settings, trained(problem, settings), strict=True):
        means[one.name][lr] += worth(problem, outcome, part) / len(TUNE_SEEDS)
    return {name: max(by_rate, key=by_rate.__getitem__) for name, by_rate in means.items()}


def compared(name: str) -> list[Comparison]:
    """Return the comparison of every default optimizer on a problem."""
    problem = named_problem(name)
    competing = contestants(DEFAULT_OPTIMIZERS)
    say(f"{name}: short trainings and ramps")
    test = run_rate_test(RateOrder(problem))
    say(f"{name}: {len(GRID)} rates trained in full for each of {len(competing)} optimizers")
    tuned = tuned_rates(problem, competing)
    say(f"{name}: suggested and tuned rates on fresh seeds")
    pairs = {s.optimizer: (s.population.lr, tuned[s.optimizer]) for s in test.suggestions}
    settings = [
        (one, lr, seed) for one in competing for lr in pairs[one.name] for seed in FRESH_SEEDS
    ]
    scores = [worth(problem, o, "test") for o in trained(problem, settings)]
    table = np.reshape(scores, (len(competing), 2, len(FRESH_SEEDS)))
    rows = []
    for suggestion, (ours, best) in zip(test.suggestions, table, strict=True):
        interval, rate = suggestion.population, tuned[suggestion.optimizer]
        difference = best - ours
        error = 2.26 * difference.std(ddof=1) / math.sqrt(len(difference))  # t of 9 degrees, 95 %
        rows.append(
            Comparison(
                name,
                suggestion.optimizer,
                interval.lr,
                interval.low,
                interval.high,
                suggestion.ramp.lr,
                rate,
                interval.holds(rate),
                float(difference.mean()),
                float(error),
                float(best.mean()),
            )
        )
    return rows


def say(text: str) -> None:
    """Tell whoever waits what is under way."""
    print(text, file=sys.stderr, flush=True)


def document(one: Comparison) -> dict[str, object]:
    """Return a comparison for JSON, which has no NaN and no infinity."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in asdict(one).items()
    }


def line(one: Comparison) -> str:
    """Return a comparison as a row of a Markdown table."""
    interval = f"{one.low:.2g} to {one.high:.2g}"
    return (
        f"| {one.problem} | {one.optimizer} | {one.suggested:.2g} | {interval} | {one.ramp:.2g} |"
        f" {one.tuned:.2g} | {'yes' if one.holds else '**no**'} |"
        f" {one.lost:+.4f} ± {one.lost_error:.4f} | {one.tuned_score:.4f} |"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--problem", action="append", choices=problem_names())
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    rows = [row for name in given.problem or problem_names() for row in compared(name)]
    if given.json:
        print(json.dumps([document(row) for row in rows], indent=2, allow_nan=False))
        return
    heads = ("problem", "optimizer", "suggested", "interval", "ramp", "tuned", "inside")
    print(f"| {' | '.join(heads)} | lost | tuned score |\n{'|---' * (len(heads) + 2)}|")
    for row in rows:
        print(line(row))
    print(f"\n{sum(row.holds for row in rows)} of {len(rows)} tuned rates lie in the interval")


if __name__ == "__main__":
    main()
