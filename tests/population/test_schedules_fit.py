"""A schedule of one's own must fit the rules that it is given to."""

import pytest

from ravine.core.errors import SettingError
from ravine.population import Population
from ravine.problems import Problem
from tests.population.making import member, vectors


def test_a_schedule_may_change_only_what_the_rule_has():
    def misspelled(step, total, base):
        return {"learning_rate": base["lr"] * 0}

    population = Population(Problem("linear", vectors()), schedule=misspelled, workers=1)
    with pytest.raises(SettingError, match=r"unknown setting of sgd .* 'learning_rate'"):
        population.run([member(0, "sgd")])


def test_a_schedule_may_read_what_every_member_has():
    def by_momentum(step, total, base):
        return {"lr": base["lr"] * (1 - base["mu"])}

    population = Population(Problem("linear", vectors(), epochs=1), schedule=by_momentum, workers=1)
    ends = [o for p in population.run([member(0, "momentum")]) for o in p.finished]
    assert ends[0].status == "ok"
